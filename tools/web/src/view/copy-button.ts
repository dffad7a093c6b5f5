// A button that copies the room's link, and says that it has.

import { announce, element, icon } from './element';

/** How long it says so. */
const COPIED_MS = 2_000;

/** Makes one; `onRefusal` is told the link where the browser lets nothing be copied. */
export function copyButton(room: string, onRefusal: (link: string) => void): HTMLButtonElement {
  const attributes = { type: 'button', class: 'button copy', title: 'Copy link' };
  const button = element('button', { ...attributes, click: () => void copy() });
  const show = (isCopied: boolean): void => {
    button.dataset.copied = String(isCopied);
    button.replaceChildren(icon(isCopied ? 'check' : 'link'), element('span', {}, isCopied ? 'Copied' : 'Copy link'));
  };
  const copy = async (): Promise<void> => {
    const link = linkOf(room);
    try {
      await navigator.clipboard.writeText(link);
    } catch {
      return onRefusal(link);
    }
    show(true);
    announce('The link is copied');
    setTimeout(() => show(false), COPIED_MS);
  };
  show(false);
  return button;
}

/** The room's link, without a name or a token: those are for one person only. */
function linkOf(room: string): string {
  return `${location.origin}/#room=${encodeURIComponent(room)}`;
}
