// The page: shows the entrance, then the call, then the entrance again.

import { Call } from './call';
import { fetchDevelopmentToken, readLink, type Link } from './entrance';
import { CallFailed, type CallFault } from './fault';
import { addressOf, recall, remember } from './memory';
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
addEventListener('keydown', (event) => {
  document.documentElement.dataset.input = 'keyboard';
  callView?.handleKey(event);
});
// A button that gets the focus after a click shows no ring; browsers themselves can't tell why it got it.
addEventListener('pointerdown', () => (document.documentElement.dataset.input = 'pointer'));
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
    link: readOwnLink(),
    fault: fault && { kind: fault, sentence: CALL_SENTENCES[fault] },
    onJoin: (name, room) => void join(view, name, room),
  });
  app?.replaceChildren(view.root);
  view.focus();
}

async function join(view: EntranceView, userId: string, channelId: string): Promise<void> {
  view.setBusy();
  const { token, codec } = readOwnLink();
  if (remember({ room: channelId, name: userId, token })) {
    history.replaceState(null, '', addressOf(location.hash, channelId));
  }
  const joining = new Call({
    userId,
    channelId,
    codec,
    token: () => (token === null ? fetchDevelopmentToken(userId, location.hostname) : Promise.resolve(token)),
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

/** What the address says, with what this tab remembers. */
function readOwnLink(): Link {
  return recall(readLink(location.hash));
}
