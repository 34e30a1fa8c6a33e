import { ChevronDown, GitPullRequest, MessageSquare, Workflow } from 'lucide-react'
import { type ReactNode, useId } from 'react'
import { Link } from '../navigation/navigation.tsx'
import { examples } from './examples.ts'

const kinds = [
  { kind: undefined, word: 'Workflow', Icon: Workflow },
  { kind: 'agent', word: 'Agent', Icon: MessageSquare },
  { kind: 'task', word: 'Task', Icon: GitPullRequest },
] as const

/** The head of a page that starts something, with the choice of its kind and its buttons. */
export function NewHead({
  title,
  kind,
  children,
}: {
  title: string
  kind: 'agent' | 'task' | undefined
  children: ReactNode
}) {
  return (
    <header className="flex min-h-12 shrink-0 flex-wrap items-center gap-2 border-b border-line px-edge py-1.5 max-sm:gap-y-2 max-sm:py-2">
      <h1 className="text-page font-semibold">{title}</h1>
      <nav aria-label="Kind" className="segments ml-2 max-sm:ml-auto">
        {kinds.map(({ kind: one, word, Icon }) => (
          <Link
            key={word}
            to="/new"
            search={one === undefined ? {} : { kind: one }}
            aria-current={one === kind ? 'page' : undefined}
            className="segment"
          >
            <Icon size={13} strokeWidth={1.75} aria-hidden className="max-sm:hidden" /> {word}
          </Link>
        ))}
      </nav>
      <div className="ml-auto flex items-center gap-2 max-sm:w-full max-sm:*:flex-1">{children}</div>
    </header>
  )
}

/** Lists workflows to start from; the text on the page stays stored as a draft of its own. */
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
