// The messages of the signaling protocol `voice.v1`, as the service and its clients exchange them.

import type {
  DtlsParameters,
  IceCandidate,
  IceParameters,
  MediaKind,
  RtpCapabilities,
  RtpParameters,
} from 'mediasoup-client/types';

/** What a stream shows or lets hear. */
export type Source = 'mic' | 'camera' | 'screen' | 'screenAudio';

/** What the room knows of one user. */
export interface UserState {
  muted: boolean;
  deafened: boolean;
  videoEnabled: boolean;
  screenSharing: boolean;
  serverMuted: boolean;
  serverDeafened: boolean;
}

/** How senders are to encode; names and values are Opus's own. */
export interface OpusSettings {
  useinbandfec?: number;
  usedtx?: number;
  maxaveragebitrate?: number;
  maxplaybackrate?: number;
  stereo?: number;
}

/** One step of the ladder that a camera is to be sent at; names and values are those of WebRTC's encodings. */
export interface LayerSettings {
  scalabilityMode?: string;
  maxBitrate?: number;
  maxFramerate?: number;
}

/** How senders are to encode, as `joined` tells it. */
export interface Settings {
  audio?: { opus?: OpusSettings };
  /** The layers of a camera, lowest first. */
  video?: { layers?: LayerSettings[] };
}

/** One user of a room as `joined` lists them. */
export interface ParticipantEntry {
  userId: string;
  state: UserState;
  joinedAt: number;
}

/** Each request with its fields and its answer. */
export interface Requests {
  join: {
    fields: { channelId: string; rtpCapabilities: RtpCapabilities };
    answer: {
      type: 'joined';
      channelId: string;
      participants: ParticipantEntry[];
      iceServers: RTCIceServer[];
      settings: Settings;
    };
  };
  leave: { fields: { channelId: string }; answer: { type: 'left'; channelId: string } };
  createTransport: {
    fields: { direction: 'send' | 'recv' };
    answer: {
      type: 'transportCreated';
      transportId: string;
      iceParameters: IceParameters;
      iceCandidates: IceCandidate[];
      dtlsParameters: DtlsParameters;
      iceServers: RTCIceServer[];
    };
  };
  connectTransport: {
    fields: { transportId: string; dtlsParameters: DtlsParameters };
    answer: { type: 'transportConnected'; transportId: string };
  };
  produce: {
    fields: { transportId: string; kind: MediaKind; rtpParameters: RtpParameters; source: Source; paused?: boolean };
    answer: { type: 'produced'; producerId: string; source: Source };
  };
  closeProducer: { fields: { producerId: string }; answer: { type: 'producerClosed'; producerId: string } };
  consume: {
    fields: { producerId: string };
    answer: {
      type: 'consumed';
      consumerId: string;
      producerId: string;
      kind: MediaKind;
      rtpParameters: RtpParameters;
      userId: string;
      source: Source;
      producerPaused: boolean;
    };
  };
  resumeConsumer: { fields: { consumerId: string }; answer: { type: 'consumerResumed'; consumerId: string } };
  updateState: {
    fields: { muted?: boolean; deafened?: boolean; videoEnabled?: boolean; screenSharing?: boolean };
    answer: { type: 'stateUpdated'; muted: boolean; deafened: boolean; videoEnabled: boolean; screenSharing: boolean };
  };
}

/** What the service says of its own accord. */
export type Push =
  | { type: 'connected'; connectionId: string; userId: string; protocol: string; heartbeatMs: number }
  | { type: 'routerCapabilities'; rtpCapabilities: RtpCapabilities }
  | { type: 'newProducer'; producerId: string; userId: string; kind: MediaKind; source: Source; paused: boolean }
  | ({ type: 'userStateUpdate'; userId: string } & UserState)
  | { type: 'userJoined'; userId: string }
  | { type: 'userLeft'; userId: string }
  | { type: 'producerClosed' | 'producerPaused' | 'producerResumed'; producerId: string; userId: string }
  | { type: 'consumerClosed' | 'consumerPaused' | 'consumerResumed'; consumerId: string; producerId: string }
  | { type: 'transportState'; transportId: string; iceState: string; dtlsState: string }
  | { type: 'transportClosed'; transportId: string; reason?: string };

/** The answer to a request that could not be carried out. */
export interface ErrorAnswer {
  type: 'error';
  id?: string | number;
  request?: string;
  code: string;
  message: string;
  retryAfterMs?: number;
}

/** The codes that the service closes a connection with, and those of the WebSocket itself that matter here. */
export const CloseCode = {
  Normal: 1000,
  GoingAway: 1001,
  TooLarge: 1009,
  NoJson: 4002,
  TokenExpired: 4004,
  SessionGone: 4006,
  HeartbeatMissed: 4009,
  Disconnected: 4014,
  ShardLost: 4015,
  RateLimited: 4021,
} as const;

/** The state that everyone starts with. */
export const INITIAL_STATE: Readonly<UserState> = {
  muted: false,
  deafened: false,
  videoEnabled: false,
  screenSharing: false,
  serverMuted: false,
  serverDeafened: false,
};
