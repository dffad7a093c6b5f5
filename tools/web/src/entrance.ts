// What a person brings to the door: a name, a room, and a token that proves the name.

/** What the link says: `#room=…&token=…&name=…&codec=…`. A fragment never reaches a server's log. */
export interface Link {
  room: string;
  name: string;
  token: string | null;
  /** The token is none that a service can have made: it names nobody. */
  isBroken: boolean;
  /** The codec that pictures are to be sent in, such as `av1`; one that is not known here or there counts as none. */
  codec: string | null;
}

/** There is no token and the service gives none. */
export class TokenMissing extends Error {
  constructor() {
    super('a token is needed');
    this.name = 'TokenMissing';
  }
}

/** The longest id of a user or a room that the service accepts. */
export const ID_LENGTH_MAX = 64;

/** Reads the page's own address. */
export function readLink(hash: string): Link {
  const fields = new URLSearchParams(hash.replace(/^#/, ''));
  const token = fields.get('token') || null;
  const userId = token === null ? null : readUserId(token);
  return {
    room: toId(fields.get('room') ?? ''),
    name: userId ?? toId(fields.get('name') ?? ''),
    token,
    isBroken: token !== null && userId === null,
    codec: fields.get('codec')?.toLowerCase() || null,
  };
}

/**
 * Turns what a person types into an id that the service accepts (letters, digits, `_`, `-`, `.`): "Ayşe Işık 🙂" becomes
 * "Ayse-Isik". May be empty.
 */
export function toId(text: string): string {
  return text
    .normalize('NFKD')
    .replace(/[\u0300-\u036f]/g, '')
    .replace(/ı/g, 'i')
    .replace(/ß/g, 'ss')
    .replace(/[^A-Za-z0-9_.\s-]/g, '')
    .trim()
    .slice(0, ID_LENGTH_MAX)
    .trimEnd()
    .replace(/\s+/g, '-');
}

/** Whose token it is, as far as it can be read here; only the service can tell whether it is good. */
export function readUserId(token: string): string | null {
  try {
    const payload = token.split('.')[1] ?? '';
    const bytes = Uint8Array.from(atob(payload.replace(/-/g, '+').replace(/_/g, '/')), (char) => char.charCodeAt(0));
    const claims = JSON.parse(new TextDecoder().decode(bytes)) as { userId?: unknown; sub?: unknown };
    const userId = claims.userId ?? claims.sub;
    return typeof userId === 'string' || typeof userId === 'number' ? String(userId) : null;
  } catch {
    return null;
  }
}

/**
 * Asks a service in development mode for a token. Throws `TokenMissing` where there is no such thing. Services give them
 * on loopback alone, so that a page of another host asks for none.
 */
export async function fetchDevelopmentToken(userId: string, hostname: string): Promise<string> {
  if (!/^(localhost|127(\.\d+){3}|\[::1\])$/.test(hostname)) throw new TokenMissing();
  const response = await fetch('/dev/token', {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ userId }),
  });
  // A service that gives none has no such address, or only pages there, which nobody posts to.
  if (response.status === 404 || response.status === 405) throw new TokenMissing();
  // A proxy may answer for a service that is gone.
  if (!response.ok) throw new Error(`no token: ${response.status}`);
  const { token } = (await response.json()) as { token?: unknown };
  if (typeof token !== 'string') throw new TokenMissing();
  return token;
}

/** Whether the service is there and refuses the token. A browser does not tell why a WebSocket was refused; this asks again. */
export async function isTokenRefused(token: string): Promise<boolean> {
  const headers = { authorization: `Bearer ${token}` };
  const response = await fetch('/signaling', { headers, cache: 'no-store', signal: AbortSignal.timeout(5_000) });
  return response.status === 401;
}
