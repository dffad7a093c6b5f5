// The page: shows the entrance, then the call, then the entrance again.

import { Call } from './call';
import { fetchDevelopmentToken, readLink } from './entrance';
import { CallFailed, type CallFault } from './fault';
import { CALL_SENTENCES } from './sentences';
import { CallView } from './view/call-view';
import { announce } from './view/element';
import { EntranceView } from './view/entrance-view';

const app = document.getElementById('app');
let call: Call | null = null;
let callView: CallView | null = null;

showEntrance();
addEventListener('hashchange', () => {
  if (!call) showEntrance();
});
addEventListener('keydown', (event) => callView?.handleKey(event));
addEventListener('pagehide', () => call?.leave());
// The browser may keep a page that was left, and show it again as it was; its call has ended.
addEventListener('pageshow', (event) => {
  if (event.persisted && call) showEntrance();
});

function showEntrance(fault?: CallFault): void {
  call = null;
  callView = null;
  document.title = 'Voice';
  const view = new EntranceView({
    link: readLink(location.hash),
    fault: fault && { kind: fault, sentence: CALL_SENTENCES[fault] },
    onJoin: (name, room) => void join(view, name, room),
  });
  app?.replaceChildren(view.root);
  view.focus();
}

async function join(view: EntranceView, userId: string, channelId: string): Promise<void> {
  view.setBusy();
  const { token, codec } = readLink(location.hash);
  remember(userId, channelId);
  const joining = new Call({
    userId,
    channelId,
    codec,
    token: () => (token === null ? fetchDevelopmentToken(userId) : Promise.resolve(token)),
  });
  try {
    await joining.join();
  } catch (error) {
    return showEntrance(error instanceof CallFailed ? error.fault : 'serviceGone');
  }
  showCall(joining);
}

function showCall(joined: Call): void {
  const leave = (): void => {
    joined.leave();
    showEntrance();
    announce('You have left the room');
  };
  const view = new CallView(joined, leave);
  joined.onChange = () => view.update();
  joined.onEnd = (fault) => showEntrance(fault);
  call = joined;
  callView = view;
  document.title = `${joined.channelId} – Voice`;
  app?.replaceChildren(view.root);
  view.focus();
}

/** Keeps name and room in the address, so that a reload asks for neither again. */
function remember(name: string, room: string): void {
  const fields = new URLSearchParams(location.hash.slice(1));
  fields.set('room', room);
  fields.set('name', name);
  history.replaceState(null, '', `#${fields}`);
}
