// Two connections of one page that speak with each other: what a browser can do by itself.

/** Sends a track with a codec; `onTrack` gets what arrives. Gives what ends it. */
export async function connectPair(track, codec, onTrack) {
  const [sender, receiver] = [new RTCPeerConnection(), new RTCPeerConnection()];
  sender.onicecandidate = ({ candidate }) => candidate && receiver.addIceCandidate(candidate);
  receiver.onicecandidate = ({ candidate }) => candidate && sender.addIceCandidate(candidate);
  receiver.ontrack = (event) => onTrack(event.track);
  const transceiver = sender.addTransceiver(track, { direction: 'sendonly' });
  const { codecs } = RTCRtpSender.getCapabilities('video');
  transceiver.setCodecPreferences(codecs.filter(({ mimeType }) => mimeType.toLowerCase() === codec));
  await sender.setLocalDescription();
  await receiver.setRemoteDescription(sender.localDescription);
  await receiver.setLocalDescription();
  await sender.setRemoteDescription(receiver.localDescription);
  return () => {
    sender.close();
    receiver.close();
  };
}

/** The video codecs that this browser sends or receives. */
export function codecsOf(side) {
  const types = side.getCapabilities('video').codecs.map(({ mimeType }) => mimeType.toLowerCase());
  return [...new Set(types)].filter((type) => !/rtx|red|ulpfec|flexfec/.test(type));
}
