// What a tab remembers of its person, so that a reload asks for nothing again. It stays out of the address: whoever
// copies that shares the room, and not the own name or token, with which another would take the call over.

import type { Link } from './entrance';

const KEY = 'joined';

interface Joined {
  room: string;
  name: string;
  token: string | null;
}

/** Remembers who joins which room; tells whether it could. A browser may be set to keep nothing. */
export function remember(joined: Joined, storage: () => Storage = () => sessionStorage): boolean {
  try {
    storage().setItem(KEY, JSON.stringify(joined));
    return true;
  } catch {
    return false;
  }
}

/** Adds to a link who joined its room from this tab, unless it says itself who is to join. */
export function recall(link: Link, storage: () => Storage = () => sessionStorage): Link {
  if (link.name !== '' || link.token !== null) return link;
  try {
    const { room, name, token } = JSON.parse(storage().getItem(KEY) ?? '{}') as Partial<Joined>;
    return room === link.room && name !== undefined ? { ...link, name, token: token ?? null } : link;
  } catch {
    return link;
  }
}

/** The address of a room without what is for one person only; everything else stays. */
export function addressOf(hash: string, room: string): string {
  const fields = new URLSearchParams(hash.replace(/^#/, ''));
  fields.set('room', room);
  fields.delete('name');
  fields.delete('token');
  return `#${fields}`;
}
