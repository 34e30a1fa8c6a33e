import { useQuery, useQueryClient } from '@tanstack/react-query'
import { ArrowRight, CornerDownLeft, History, Search } from 'lucide-react'
import { type KeyboardEvent, useDeferredValue, useEffect, useId, useMemo, useRef, useState } from 'react'
import { ApiError, ask, basePath, newKey } from '../data/api.ts'
import { beginRetry } from '../data/retries.ts'
import { answerApproval, type Run, type RunPage, shownStatus } from '../data/runs.ts'
import { navigation, useNavigate } from '../navigation/navigation.tsx'
import { Failure } from '../parts/action-button.tsx'
import { StatusMark, statusWord } from '../parts/status-mark.tsx'
import { type Command, fitting, keepRecent, recentCommands, usePageCommands } from './commands.ts'
import { copyCommands } from './copy-commands.ts'

interface Props {
  /** Runs that wait for a person. */
  needsYou: readonly Run[]
  /** Pages that this person may open, and actions available on all of them. */
  general: readonly Command[]
  tenant: string | undefined
  allKeys: () => void
  /** Called once the palette's field has the focus. */
  ready: () => void
  close: () => void
}

interface Item extends Command {
  group: string
  run?: Run
}

const MOST_RUNS = 8
const idOf = (text: string) => /^#?\s*((?:run|task)_\w+)\s*$/.exec(text)?.[1]

/** Searches the hub for runs whose name or id matches the words. */
function useFoundRuns(text: string): readonly Run[] {
  const { data } = useQuery({
    queryKey: ['palette', text],
    queryFn: ({ signal }) => ask<RunPage>('GET', '/api/runs', { query: { text, limit: MOST_RUNS }, signal }),
    enabled: text.length >= 2,
    placeholderData: (before) => before,
  })
  return text.length >= 2 ? (data?.runs ?? []) : []
}

function itemsOf(
  search: string,
  { needsYou, general }: Props,
  page: readonly Command[],
  runs: readonly Run[],
) {
  const onlyCommands = search.startsWith('>')
  const onlyIds = search.startsWith('#')
  const words = search.replace(/^[>#]\s*/, '')
  const items: Item[] = []
  const add = (group: string, commands: readonly Command[], of: Partial<Item> = {}) => {
    for (const command of fitting(commands, words))
      if (!items.some(({ id }) => id === command.id)) items.push({ ...command, group, ...of })
  }
  const id = idOf(search)
  if (id !== undefined)
    add('Go to', [
      { id: `id ${id}`, word: `Open ${id}`, to: `/${id.startsWith('run_') ? 'runs' : 'tasks'}/${id}` },
    ])
  if (!onlyIds && !onlyCommands)
    for (const run of needsYou) {
      const { question } = run.now!
      const to = `/runs/${run.run_id}`
      const about = `${question!.step} · ${question!.text}`
      const answers: Command[] =
        question!.kind === 'approval'
          ? (['approve', 'reject'] as const).map((answer) => ({
              id: `${answer} ${run.run_id} ${question!.step}`,
              word: `${answer === 'approve' ? 'Approve' : 'Reject'}: ${run.workflow_name}`,
              about,
              asks: `Press Enter again to ${answer}`,
              act: () => answerApproval(run.run_id, answer, question!.step),
            }))
          : []
      answers.push({ id: `open ${run.run_id}`, word: `Open: ${run.workflow_name}`, about, to })
      add('Needs you', answers, { run })
    }
  if (!onlyIds) {
    if (words === '' && !onlyCommands) add('Recent', recentCommands())
    add('Actions', page)
    add(
      'Actions',
      general.filter(({ to }) => to === undefined),
    )
  }
  if (!onlyCommands) {
    if (!onlyIds)
      add(
        'Go to',
        general.filter(({ to }) => to !== undefined),
      )
    for (const run of runs) {
      const about = `${run.run_id} · ${statusWord(shownStatus(run))}`
      add('Runs', [{ id: `run ${run.run_id}`, word: run.workflow_name, about, to: `/runs/${run.run_id}` }], {
        run,
      })
    }
  }
  const failed = runs.find(({ status }) => status === 'failed' || status === 'interrupted')
  if (failed !== undefined && !onlyIds)
    add('Actions', [
      {
        id: `retry ${failed.run_id}`,
        word: `Retry last ${failed.workflow_name}`,
        about: `${failed.run_id} · only what failed, in a new run`,
        asks: 'Press Enter again to retry',
        act: async () => ({ to: (await beginRetry(failed.run_id, { only: 'failed' }, newKey())).run_id }),
      },
    ])
  const groups = ['Needs you', 'Recent', 'Actions', 'Go to', 'Runs']
  return items.sort((a, b) => groups.indexOf(a.group) - groups.indexOf(b.group)).slice(0, 60)
}

/** Finds pages, runs and actions by words; the arrow keys choose and Enter confirms. */
export function Palette(props: Props) {
  const { tenant, allKeys, ready, close } = props
  const navigate = useNavigate()
  const dialog = useRef<HTMLDialogElement>(null)
  const [search, setSearch] = useState('')
  const [chosen, setChosen] = useState(0)
  const [pendingId, setPendingId] = useState<string>()
  const [failure, setFailure] = useState<ApiError>()
  const [busy, setBusy] = useState(false)
  const listId = useId()
  const client = useQueryClient()
  const commands = usePageCommands()
  const [copies] = useState(() => copyCommands(location.pathname, client))
  const page = useMemo(() => [...commands, ...copies], [commands, copies])
  const found = useFoundRuns(useDeferredValue(search.replace(/^[#]\s*/, '').trim()))
  const { needsYou, general } = props
  const items = useMemo(
    () => itemsOf(search, { needsYou, general } as Props, page, found),
    [search, needsYou, general, page, found],
  )
  const at = Math.min(chosen, Math.max(items.length - 1, 0))
  // biome-ignore lint/correctness/useExhaustiveDependencies: it opens once
  useEffect(() => {
    dialog.current?.showModal()
    ready()
  }, [])
  useEffect(() => {
    dialog.current?.querySelector(`[data-at="${at}"]`)?.scrollIntoView({ block: 'nearest' })
  }, [at])

  const take = async (item: Item, inNewTab: boolean) => {
    if (busy) return
    if (item.to !== undefined) {
      keepRecent(item)
      dialog.current?.close()
      if (inNewTab) open(`${basePath}${item.to}`, '_blank', 'noopener')
      else void navigation.go(item.to)
      return
    }
    if (item.asks !== undefined && pendingId !== item.id) return setPendingId(item.id)
    setBusy(true)
    setFailure(undefined)
    try {
      const went = (await item.act?.()) as { to?: string } | undefined
      dialog.current?.close()
      if (went?.to !== undefined) await navigate({ to: '/runs/$run', params: { run: went.to } })
    } catch (error) {
      setFailure(
        error instanceof ApiError
          ? error
          : new ApiError(0, { error: { code: 'internal', message: String(error) } }),
      )
    } finally {
      setBusy(false)
      setPendingId(undefined)
    }
  }
  const move = (to: number) => {
    setChosen((to + items.length) % Math.max(items.length, 1))
    setPendingId(undefined)
  }
  const press = (event: KeyboardEvent) => {
    const { key } = event
    if (key === 'ArrowDown') move(at + 1)
    else if (key === 'ArrowUp') move(at - 1)
    else if (key === 'PageDown') move(Math.min(at + 8, items.length - 1))
    else if (key === 'PageUp') move(Math.max(at - 8, 0))
    else if (key === '?' && search === '') {
      dialog.current?.close()
      allKeys()
    } else if (key === 'Enter') {
      if (items[at] !== undefined && !event.repeat) void take(items[at], event.ctrlKey || event.metaKey)
    } else return
    event.preventDefault()
  }
  return (
    <dialog
      ref={dialog}
      aria-label="Search or do"
      className="mx-auto mt-[12vh] mb-auto w-[min(40rem,calc(100vw-1rem))] overflow-hidden rounded-xl border border-line bg-raised p-0 text-ink max-sm:mt-2"
      style={{ boxShadow: 'var(--float)' }}
      onClose={close}
      onClick={({ target }) => target === dialog.current && dialog.current.close()}
      onKeyDown={press}
    >
      <div className="flex h-13 items-center gap-3 border-b border-line px-4">
        <Search size={16} strokeWidth={1.75} aria-hidden className="shrink-0 text-ink3" />
        <input
          role="combobox"
          aria-label="Search or do"
          aria-expanded="true"
          aria-controls={listId}
          aria-activedescendant={items[at] === undefined ? undefined : `${listId}-${at}`}
          aria-autocomplete="list"
          autoComplete="off"
          spellCheck={false}
          className="h-full min-w-0 flex-1 bg-transparent text-page outline-none placeholder:text-ink3 max-sm:text-base"
          placeholder="Search or do…"
          value={search}
          onChange={({ target }) => {
            setSearch(target.value)
            setChosen(0)
            setPendingId(undefined)
          }}
        />
        {tenant !== undefined && <span className="chip">{tenant}</span>}
      </div>
      {failure !== undefined && (
        <div className="p-2">
          <Failure error={failure} />
        </div>
      )}
      <div
        id={listId}
        role="listbox"
        aria-label="Results"
        className="max-h-[min(24rem,60vh)] overflow-y-auto p-2"
      >
        {items.map((item, index) => (
          <div key={item.id}>
            {items[index - 1]?.group !== item.group && (
              <div role="presentation" className="px-3 pt-2 pb-1 text-label text-ink3">
                {item.group}
              </div>
            )}
            {/* biome-ignore lint/a11y/useKeyWithClickEvents: keys are those of the field, which keeps the focus */}
            <div
              id={`${listId}-${index}`}
              data-at={index}
              role="option"
              tabIndex={-1}
              aria-selected={index === at}
              className="flex min-h-[38px] cursor-pointer items-center gap-3 rounded-lg px-3 aria-selected:bg-sel max-sm:min-h-11"
              onPointerMove={() => index !== at && move(index)}
              onClick={({ ctrlKey, metaKey }) => void take(item, ctrlKey || metaKey)}
            >
              <Icon item={item} />
              <span className="truncate font-medium">
                <bdi>{item.word}</bdi>
              </span>
              <span className="min-w-0 flex-1 truncate text-meta text-ink2">
                {pendingId === item.id ? (
                  <b className="font-medium text-ask">{item.asks}</b>
                ) : (
                  <bdi>{item.about}</bdi>
                )}
              </span>
              {item.keys !== undefined && <kbd className="key shrink-0 max-sm:hidden">{item.keys}</kbd>}
            </div>
          </div>
        ))}
      </div>
      {items.length === 0 && <p className="px-5 pb-4 text-ink2">No results.</p>}
      <div role="status" className="sr-only">
        {pendingId !== undefined ? items.find(({ id }) => id === pendingId)?.asks : `${items.length} found`}
      </div>
      <div className="flex flex-wrap gap-x-4 gap-y-1 border-t border-line px-4 py-2 text-meta text-ink2 max-sm:hidden">
        <span>
          <kbd className="key">
            <CornerDownLeft size={10} aria-label="Enter" />
          </kbd>{' '}
          select
        </span>
        <span>
          <kbd className="key">Ctrl</kbd>{' '}
          <kbd className="key">
            <CornerDownLeft size={10} aria-label="Enter" />
          </kbd>{' '}
          open in a new tab
        </span>
        <span>
          <kbd className="key">{'>'}</kbd> commands only
        </span>
        <span>
          <kbd className="key">#</kbd> ids only
        </span>
        <span className="ml-auto">
          <kbd className="key">?</kbd> shortcuts
        </span>
      </div>
    </dialog>
  )
}

function Icon({ item }: { item: Item }) {
  if (item.run !== undefined) return <StatusMark shown={shownStatus(item.run)} size={15} />
  const Shape = item.group === 'Recent' ? History : item.to === undefined ? CornerDownLeft : ArrowRight
  return <Shape size={15} strokeWidth={1.75} aria-hidden className="shrink-0 text-ink3" />
}
