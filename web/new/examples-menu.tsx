import { Link } from '@tanstack/react-router'
import { ChevronDown } from 'lucide-react'
import { useId } from 'react'
import { examples } from './examples.ts'

/** Workflows to begin with; the text that is on the page is kept as its own draft. */
export function ExamplesMenu() {
  const id = useId()
  return (
    <span className="relative inline-flex">
      <button type="button" className="button button-plain max-sm:w-full" popoverTarget={id}>
        Examples <ChevronDown size={13} strokeWidth={1.75} aria-hidden />
      </button>
      <div
        id={id}
        popover="auto"
        className="fixed inset-auto top-14 right-5 m-0 w-52 rounded-xl border border-line bg-raised p-1.5 text-ink shadow-[var(--float)]"
      >
        {examples.map((name) => (
          <Link
            key={name}
            to="/new"
            search={{ from: `example:${name}` }}
            className="flex h-8 items-center rounded-md px-2 hover:bg-hover max-sm:h-11"
            onClick={(event) => event.currentTarget.closest<HTMLElement>('[popover]')?.hidePopover()}
          >
            {name}
          </Link>
        ))}
      </div>
    </span>
  )
}
