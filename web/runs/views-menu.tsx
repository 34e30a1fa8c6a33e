import { useQuery, useQueryClient } from '@tanstack/react-query'
import { Bookmark, Trash2, Users } from 'lucide-react'
import { useId, useRef, useState } from 'react'
import type { RunFilter } from '../data/runs.ts'
import { changeView, removeView, type SavedView, saveView, viewsQuery } from '../data/views.ts'
import { Link, useNavigate } from '../navigation/navigation.tsx'
import { ActionButton } from '../parts/action-button.tsx'

const CHIPS = 4

const textOf = (filter: object): string => JSON.stringify(Object.entries(filter).toSorted())
const words = (filter: Readonly<Record<string, string | undefined>>) =>
  Object.entries(filter)
    .map(([name, value]) => (name === 'q' ? value : `${name}:${value}`))
    .join(' ') || 'all runs'

/** Lists saved filters: a few beside the title and all in a menu, which can also save the current one. */
export function ViewsMenu({ filter }: { filter: RunFilter }) {
  const { data: views = [] } = useQuery(viewsQuery)
  const id = useId()
  const panel = useRef<HTMLDivElement>(null)
  const here = textOf(filter)
  const current = views.find((view) => textOf(view.filter) === here)
  return (
    <div className="ml-auto flex min-w-0 items-center gap-1.5">
      {views.slice(0, CHIPS).map((view) => (
        <Link
          key={view.id}
          to="/runs"
          search={view.filter}
          title={words(view.filter)}
          className={`flex h-7 max-w-40 min-w-0 items-center gap-1.5 rounded-md border px-2 text-meta max-lg:hidden ${view === current ? 'border-accent bg-accent-soft font-medium text-accent' : 'border-line2 text-ink2 hover:bg-hover'}`}
        >
          {view.shared && <Users size={12} strokeWidth={1.75} aria-label="shared" className="shrink-0" />}
          <span className="truncate">
            <bdi>{view.name}</bdi>
          </span>
        </Link>
      ))}
      <button type="button" className="button shrink-0" popoverTarget={id}>
        <Bookmark size={14} strokeWidth={1.75} aria-hidden /> Views
      </button>
      <div
        ref={panel}
        id={id}
        popover="auto"
        role="dialog"
        aria-label="Views"
        className="fixed inset-auto top-12 right-4 m-0 max-h-[80vh] w-[min(26rem,calc(100vw-2rem))] overflow-y-auto rounded-xl border border-line bg-raised p-3 text-ink"
        style={{ boxShadow: 'var(--float)' }}
      >
        {views.length === 0 ? (
          <p className="px-1 pb-2 text-meta text-ink2">
            No saved filters yet. Save the filters that you use often under a name.
          </p>
        ) : (
          <ul className="mb-2">
            {views.map((view) => (
              <ViewRow
                key={`${view.id} ${view.name} ${view.shared}`}
                view={view}
                isHere={view === current}
                close={() => panel.current?.hidePopover()}
              />
            ))}
          </ul>
        )}
        <SaveForm filter={filter} current={current} />
      </div>
    </div>
  )
}

function ViewRow({ view, isHere, close }: { view: SavedView; isHere: boolean; close: () => void }) {
  const client = useQueryClient()
  const [isConfirming, setIsConfirming] = useState(false)
  const [name, setName] = useState<string>()
  const again = () => client.invalidateQueries({ queryKey: viewsQuery.queryKey })
  if (name !== undefined)
    return (
      <li className="flex items-center gap-2 py-1">
        <input
          aria-label={`New name for ${view.name}`}
          className="field min-w-0 flex-1"
          value={name}
          maxLength={100}
          // biome-ignore lint/a11y/noAutofocus: it was asked for just now
          autoFocus
          onChange={({ target }) => setName(target.value)}
          onKeyDown={(event) => {
            if (event.key !== 'Escape') return
            event.preventDefault()
            setName(undefined)
          }}
        />
        <ActionButton
          doing="Renaming…"
          act={async () => {
            await changeView(view.id, { name })
            await again()
          }}
        >
          Rename
        </ActionButton>
      </li>
    )
  return (
    <li className={`flex min-h-9 items-center gap-2 rounded-md px-1 ${isHere ? 'bg-sel' : ''}`}>
      <Link
        to="/runs"
        search={view.filter}
        onClick={close}
        className="flex min-h-6 min-w-0 flex-1 flex-col justify-center py-1 max-sm:min-h-11"
      >
        <span className="truncate font-medium">
          <bdi>{view.name}</bdi>
        </span>
        <span className="truncate font-mono text-label text-ink3">
          <bdi>{words(view.filter)}</bdi>
        </span>
      </Link>
      {view.shared && <span className="chip">{view.may_change ? 'shared' : `shared by ${view.owner}`}</span>}
      {view.may_change && !isConfirming && (
        <>
          <button type="button" className="button button-plain" onClick={() => setName(view.name)}>
            Rename
          </button>
          <button
            type="button"
            className="button button-plain"
            aria-label={`Delete ${view.name}`}
            onClick={() => setIsConfirming(true)}
          >
            <Trash2 size={14} strokeWidth={1.75} aria-hidden />
          </button>
        </>
      )}
      {isConfirming && (
        <>
          <button type="button" className="button" onClick={() => setIsConfirming(false)}>
            Keep
          </button>
          <ActionButton
            kind="bad"
            doing="Deleting…"
            act={async () => {
              await removeView(view.id)
              await again()
            }}
          >
            {view.shared ? 'Delete for everyone' : 'Delete'}
          </ActionButton>
        </>
      )}
    </li>
  )
}

function SaveForm({ filter, current }: { filter: RunFilter; current: SavedView | undefined }) {
  const client = useQueryClient()
  const navigate = useNavigate()
  const [name, setName] = useState('')
  const [shared, setShared] = useState(false)
  const filters = Object.fromEntries(Object.entries(filter).filter(([, value]) => value)) as Record<
    string,
    string
  >
  if (Object.keys(filters).length === 0)
    return (
      <p className="border-t border-line px-1 pt-2 text-meta text-ink2">
        Filter the list to save it as a view.
      </p>
    )
  if (current !== undefined)
    return (
      <p className="border-t border-line px-1 pt-2 text-meta text-ink2">
        The list shows <bdi>{current.name}</bdi>.
      </p>
    )
  return (
    <form
      className="flex flex-col gap-2 border-t border-line px-1 pt-3"
      onSubmit={(event) => event.preventDefault()}
    >
      <label className="flex flex-col gap-1 text-meta text-ink2">
        Save this filter as
        <input
          className="field"
          value={name}
          maxLength={100}
          onChange={({ target }) => setName(target.value)}
          autoComplete="off"
        />
      </label>
      <span className="truncate font-mono text-label text-ink3">
        <bdi>{words(filters)}</bdi>
      </span>
      <div className="flex items-center justify-between gap-2">
        <label className="flex min-h-6 items-center gap-2 text-meta">
          <input
            type="checkbox"
            className="size-4 accent-accent"
            checked={shared}
            onChange={({ target }) => setShared(target.checked)}
          />
          Share with the whole tenant
        </label>
        {name.trim() === '' ? (
          <button type="button" className="button" aria-disabled="true" title="Enter a name first">
            Save view
          </button>
        ) : (
          <ActionButton
            kind="main"
            doing="Saving…"
            act={async () => {
              await saveView({ name: name.trim(), filter: filters, shared })
              setName('')
              await client.invalidateQueries({ queryKey: viewsQuery.queryKey })
              await navigate({ to: '/runs', search: filter })
            }}
          >
            Save view
          </ActionButton>
        )}
      </div>
    </form>
  )
}
