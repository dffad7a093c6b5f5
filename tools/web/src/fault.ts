// Why a call could not begin, or ended without being left.

import { ConnectionEnded, RequestRefused } from './signaling';
import { CloseCode } from './protocol';
import { isTokenRefused, TokenMissing } from './entrance';

export type CallFault =
  | 'tokenMissing'
  | 'tokenRefused'
  | 'forbidden'
  | 'takenOver'
  | 'removed'
  | 'unavailable'
  | 'badRequest'
  | 'browser'
  | 'serviceGone';

/** Carries a fault that is already known up to whoever began the call. */
export class CallFailed extends Error {
  constructor(readonly fault: CallFault) {
    super(fault);
    this.name = 'CallFailed';
  }
}

/** What stood in the way of a connection with what `token` gives. */
export async function judgeFault(error: unknown, token: () => Promise<string>): Promise<CallFault> {
  if (error instanceof CallFailed) return error.fault;
  if (error instanceof TokenMissing) return 'tokenMissing';
  if (error instanceof RequestRefused) {
    if (error.code === 'forbidden') return 'forbidden';
    return error.code === 'bad_request' ? 'badRequest' : 'unavailable';
  }
  if (error instanceof ConnectionEnded) {
    const isRefused = async () => !error.opened && (await token().then(isTokenRefused).catch(() => false));
    return lastingFault(error) ?? ((await isRefused()) ? 'tokenRefused' : 'serviceGone');
  }
  return 'serviceGone';
}

/** The fault that makes coming back pointless; null where the close code says to come back. */
export function lastingFault(end: ConnectionEnded): CallFault | null {
  switch (end.code) {
    case CloseCode.Disconnected:
      return /kick|remov/i.test(end.reason) ? 'removed' : 'takenOver';
    case CloseCode.TooLarge:
    case CloseCode.NoJson:
      return 'badRequest';
    default:
      return null;
  }
}

/** Whether a fault may be over at the next try. */
export function isPassing(fault: CallFault): boolean {
  return fault === 'serviceGone' || fault === 'unavailable';
}
