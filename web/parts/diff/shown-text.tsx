import type { ReactNode } from 'react'

/** Characters that change the writing direction or are invisible: they are shown by name. */
const UNSEEN =
  /([\u0000-\u0008\u000b-\u001f\u007f\u00ad\u061c\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff])/u

/** Shows a text of a repository with nothing hidden in it. */
export function Shown({ text }: { text: string }): ReactNode {
  if (!UNSEEN.test(text)) return text
  return text.split(UNSEEN).map((part, index) =>
    index % 2 === 0 ? (
      part
    ) : (
      <span
        // biome-ignore lint/suspicious/noArrayIndexKey: parts have no other name
        key={index}
        className="rounded bg-ask-soft px-0.5 text-ask"
      >
        {part === '\r' ? '␍' : `U+${part.codePointAt(0)!.toString(16).toUpperCase().padStart(4, '0')}`}
      </span>
    ),
  )
}
