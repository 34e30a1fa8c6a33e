import { useEffect, useRef } from 'react'

const keys: readonly { where: string; of: readonly (readonly [string, string])[] }[] = [
  {
    where: 'Everywhere',
    of: [
      ['Ctrl K', 'search or do'],
      ['n', 'new run'],
      ['g r', 'runs'],
      ['g s', 'sessions'],
      ['g t', 'tasks'],
      ['g m', 'runners'],
      ['[', 'fold the sidebar'],
      ['?', 'all shortcuts'],
      ['Esc', 'back, close'],
    ],
  },
  {
    where: 'Lists',
    of: [
      ['j k', 'down, up'],
      ['Enter', 'open'],
      ['x', 'select'],
      ['/', 'filter'],
    ],
  },
  {
    where: 'A run',
    of: [
      ['1 2 3', 'graph, list, timeline'],
      ['f F', 'next, previous failure'],
      ['c', 'compare with the last good run'],
      ['l', 'copy the link'],
    ],
  },
  {
    where: 'A log',
    of: [
      ['Ctrl F', 'search the whole log'],
      ['End', 'follow'],
      ['w', 'wrap'],
      ['t', 'times'],
      ['z', 'full screen'],
    ],
  },
  {
    where: 'A new run',
    of: [
      ['Ctrl Enter', 'run the workflow'],
      ['Alt Enter', 'apply the suggested fix'],
      ['F8', 'next mistake'],
    ],
  },
]

/** Lists all keys, grouped by where they work. */
export function KeysSheet({ close }: { close: () => void }) {
  const dialog = useRef<HTMLDialogElement>(null)
  useEffect(() => dialog.current?.showModal(), [])
  return (
    <dialog
      ref={dialog}
      aria-labelledby="keys-title"
      className="sheet max-h-[80vh] w-[min(40rem,calc(100vw-2rem))] overflow-y-auto"
      onClose={close}
    >
      <div className="mb-4 flex items-center justify-between">
        <h2 id="keys-title" className="text-page font-semibold">
          Keyboard shortcuts
        </h2>
        <button type="button" className="button" onClick={() => dialog.current?.close()}>
          Close <kbd className="key">Esc</kbd>
        </button>
      </div>
      <div className="grid grid-cols-2 gap-x-8 gap-y-5 max-sm:grid-cols-1">
        {keys.map(({ where, of }) => (
          <section key={where} aria-label={where}>
            <h3 className="mb-1 text-label text-ink3">{where}</h3>
            <dl className="flex flex-col gap-1">
              {of.map(([key, word]) => (
                <div key={key} className="flex items-center justify-between gap-4">
                  <dt className="order-2 flex gap-1">
                    {key.split(' ').map((one) => (
                      <kbd key={one} className="key">
                        {one}
                      </kbd>
                    ))}
                  </dt>
                  <dd className="text-ink2">{word}</dd>
                </div>
              ))}
            </dl>
          </section>
        ))}
      </div>
    </dialog>
  )
}
