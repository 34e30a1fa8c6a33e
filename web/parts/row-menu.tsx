import { Ellipsis } from 'lucide-react'
import { type ReactNode, useRef, useState } from 'react'

export interface RowAction {
  word: ReactNode
  title?: string
  bad?: boolean
  act: () => void
}

interface Props {
  label: string
  actions: readonly RowAction[]
  icon?: ReactNode
  /** Heading above the actions. */
  head?: string
}

/** A button at the end of a row that opens a menu of its actions. */
export function RowMenu({ label, actions, icon, head }: Props) {
  const menu = useRef<HTMLDivElement>(null)
  const [isOpen, setOpen] = useState(false)
  const open = (button: HTMLElement) => {
    const { top, bottom, right } = button.getBoundingClientRect()
    const isLow = top > innerHeight / 2
    Object.assign(menu.current!.style, {
      right: `${Math.max(8, document.documentElement.clientWidth - right)}px`,
      top: isLow ? 'auto' : `${bottom + 4}px`,
      bottom: isLow ? `${innerHeight - top + 4}px` : 'auto',
    })
    menu.current!.togglePopover()
  }
  if (actions.length === 0) return null
  const shown = isOpen ? actions : []
  return (
    <span className="inline-flex">
      <button
        type="button"
        className="inline-flex size-7 items-center justify-center rounded-md text-ink2 hover:bg-hover hover:text-ink max-sm:size-11"
        aria-label={label}
        onClick={({ currentTarget }) => open(currentTarget)}
      >
        {icon ?? <Ellipsis size={15} strokeWidth={1.75} aria-hidden />}
      </button>
      <div
        ref={menu}
        popover="auto"
        onBeforeToggle={({ newState }) => setOpen(newState === 'open')}
        className="fixed inset-auto m-0 w-56 max-w-[calc(100vw-1rem)] rounded-xl border border-line bg-raised p-1.5 text-ink"
        style={{ boxShadow: 'var(--float)' }}
      >
        {isOpen && head !== undefined && <p className="px-2 pt-1 pb-1.5 text-label text-ink3">{head}</p>}
        {shown.map(({ word, title, bad, act }, index) => (
          <button
            // biome-ignore lint/suspicious/noArrayIndexKey: the actions of a row stay in their order
            key={index}
            type="button"
            title={title}
            className={`flex h-8 w-full items-center rounded-md px-2 text-left hover:bg-hover max-sm:h-11 ${bad ? 'text-bad' : ''}`}
            onClick={() => {
              menu.current?.hidePopover()
              act()
            }}
          >
            {word}
          </button>
        ))}
      </div>
    </span>
  )
}
