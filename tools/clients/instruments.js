// What runs inside a test's page, before the page itself: a microphone that plays two tones, and the instruments that
// measure what arrives. It is given to the browser as source text, so it uses nothing from outside.

/** Begins to play `tones` (left and right, in hertz) wherever the page opens a microphone; null leaves it alone. */
export function install(tones) {
  const FFT_SIZE = 8192;
  const AMPLITUDE = 0.25;
  const SILENCE_DB = -200;

  // The page's own connections are kept, so that their statistics can be read.
  const connections = [];
  globalThis.RTCPeerConnection = class extends RTCPeerConnection {
    constructor(...options) {
      super(...options);
      connections.push(this);
    }
  };

  /** A stream of two tones, one a side. */
  async function toneStream({ left, right }) {
    const context = new AudioContext({ sampleRate: 48_000 });
    const merger = new ChannelMergerNode(context, { numberOfInputs: 2 });
    for (const [channel, frequency] of [left, right].entries()) {
      const oscillator = new OscillatorNode(context, { frequency });
      oscillator.connect(new GainNode(context, { gain: AMPLITUDE })).connect(merger, 0, channel);
      oscillator.start();
    }
    const destination = new MediaStreamAudioDestinationNode(context, { channelCount: 2 });
    merger.connect(destination);
    await context.resume();
    return destination.stream;
  }

  if (tones && navigator.mediaDevices) navigator.mediaDevices.getUserMedia = () => toneStream(tones);

  let listening = null;
  const meters = new WeakMap();

  /** Two analysers on a received track, one a channel. */
  function meterOf(track) {
    listening ??= new AudioContext({ sampleRate: 48_000 });
    void listening.resume();
    let meter = meters.get(track);
    if (!meter) {
      const source = listening.createMediaStreamSource(new MediaStream([track]));
      const splitter = new ChannelSplitterNode(listening, { numberOfOutputs: 2 });
      const channels = [0, 1].map((channel) => {
        const analyser = new AnalyserNode(listening, { fftSize: FFT_SIZE, smoothingTimeConstant: 0 });
        splitter.connect(analyser, channel);
        return analyser;
      });
      source.connect(splitter);
      meter = { source, splitter, channels };
      meters.set(track, meter);
    }
    return meter;
  }

  /** The level of one frequency in decibels: the strongest of the bins beside it. */
  function levelAt(analyser, frequency) {
    const bins = new Float32Array(analyser.frequencyBinCount);
    analyser.getFloatFrequencyData(bins);
    const middle = Math.round((frequency * FFT_SIZE) / listening.sampleRate);
    // Silence is minus infinity, which JSON can't carry.
    return Math.max(SILENCE_DB, ...bins.slice(middle - 2, middle + 3));
  }

  function playing() {
    return [...document.querySelectorAll('audio[data-user]')].map((element) => ({
      userId: element.dataset.user,
      source: element.dataset.source ?? 'mic',
      isMuted: element.muted,
      track: element.srcObject.getAudioTracks()[0],
    }));
  }

  globalThis.instruments = {
    toneStream,

    /** For each track that is received: whose it is, what it comes from, and the level of each frequency on the left and on the right. */
    levels(frequencies) {
      return playing().map(({ userId, source, isMuted, track }) => {
        const [left, right] = meterOf(track).channels;
        return {
          userId,
          source,
          isMuted,
          left: frequencies.map((frequency) => levelAt(left, frequency)),
          right: frequencies.map((frequency) => levelAt(right, frequency)),
        };
      });
    },

    /** Packets received so far from each user. */
    async packets() {
      const received = {};
      for (const { userId, track } of playing()) {
        const receivers = connections.flatMap((connection) => connection.getReceivers());
        const report = await receivers.find((receiver) => receiver.track.id === track.id)?.getStats();
        for (const entry of report?.values() ?? []) {
          if (entry.type === 'inbound-rtp') received[userId] = (received[userId] ?? 0) + entry.packetsReceived;
        }
      }
      return received;
    },

    /** What the browser counts of each video stream that is received. */
    async videoReceived() {
      const received = [];
      for (const element of document.querySelectorAll('video[data-user]')) {
        const [track] = element.srcObject?.getVideoTracks() ?? [];
        const receivers = connections.flatMap((connection) => connection.getReceivers());
        const report = await receivers.find((receiver) => receiver.track.id === track?.id)?.getStats();
        const counts = [...(report?.values() ?? [])].find(({ type }) => type === 'inbound-rtp') ?? null;
        const { user: userId, source } = element.dataset;
        received.push({ userId, source, counts: counts && { ...counts } });
      }
      return received;
    },

    /** What the browser counts of each video encoding that is sent. */
    async videoSent() {
      const open = connections.filter(({ connectionState }) => connectionState !== 'closed');
      const reports = await Promise.all(open.map((connection) => connection.getStats()));
      const sent = reports.flatMap((report) => [...report.values()]).filter(({ type, kind }) => type === 'outbound-rtp' && kind === 'video');
      return sent.map((counts) => ({ ...counts }));
    },

    /** Packets sent so far over all connections. */
    async packetsSent() {
      let sent = 0;
      for (const connection of connections) {
        if (connection.connectionState === 'closed') continue;
        for (const entry of (await connection.getStats()).values()) {
          if (entry.type === 'outbound-rtp') sent += entry.packetsSent;
        }
      }
      return sent;
    },
  };
}
