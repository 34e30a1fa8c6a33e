import {
  ChevronDown,
  ChevronUp,
  Clock,
  Download,
  Maximize2,
  Minimize2,
  Search,
  WrapText,
  X,
} from 'lucide-react'
import { lazy, type ReactNode, type Ref, Suspense, useEffect, useState } from 'react'
import { ApiError, address } from '../../data/api.ts'
import { outputPath } from '../../data/runs.ts'
import type { LogSearch } from './log-search.ts'
import type { Stream } from './log-streams.ts'

export interface Find {
  q: string
  re: boolean
}

interface Props {
  run: string
  attempt: number
  lines: ReactNode
  find: Find
  setFind: (find: Find) => void
  search: LogSearch | undefined
  /** Index of the shown hit, from 0. */
  current: number | undefined
  step: (by: 1 | -1) => void
  input: Ref<HTMLInputElement>
  leave: () => void
  wrap: boolean
  setWrap: (on: boolean) => void
  times: boolean
  stream: Stream | undefined
  setStream: ((stream: Stream | undefined) => void) | undefined
  setTimes: (on: boolean) => void
  full: boolean
  setFull: (on: boolean) => void
}

const CopyAsCli = lazy(() => import('../copy-as-cli.tsx'))

const icon = { size: 15, strokeWidth: 1.75, 'aria-hidden': true } as const
const figure = (value: number) => value.toLocaleString('en')

/** Returns a setting of the person, stored in this browser, and the function that changes it. */
export function useStored(name: string, other: () => boolean): [boolean, (on: boolean) => void] {
  const [on, set] = useState(() => {
    const stored = localStorage.getItem(`errand.log.${name}`)
    return stored === null ? other() : stored === 'on'
  })
  const keep = (value: boolean) => {
    localStorage.setItem(`errand.log.${name}`, value ? 'on' : 'off')
    set(value)
  }
  return [on, keep]
}

/** Reports whether the log fills the window, and the screen if the browser allows it; Escape ends both. */
export function useFullScreen(): [boolean, (on: boolean) => void] {
  const [full, setFull] = useState(false)
  useEffect(() => {
    if (!full) return
    let entered = false
    const entering = document.documentElement.requestFullscreen?.().then(
      () => {
        entered = true
      },
      () => undefined,
    )
    const pressed = (event: KeyboardEvent) => {
      if (event.key !== 'Escape' || event.defaultPrevented || document.querySelector('dialog[open]')) return
      event.preventDefault()
      setFull(false)
    }
    // In full screen the browser handles Escape itself. The event may also be a late one, from an earlier full
    // screen.
    const changed = () => {
      if (entered && document.fullscreenElement === null) setFull(false)
    }
    addEventListener('keydown', pressed)
    document.addEventListener('fullscreenchange', changed)
    return () => {
      removeEventListener('keydown', pressed)
      document.removeEventListener('fullscreenchange', changed)
      // Waits for full screen to begin before ending it: otherwise it would begin after all.
      const leave = () => (entered && document.fullscreenElement ? document.exitFullscreen() : undefined)
      void entering?.then(leave).catch(() => undefined)
    }
  }, [full])
  return [full, setFull]
}

/** The bar above a log: search over the whole log, ways to show it, and its raw bytes. */
export function LogBar({ find, setFind, search, current, step, input, leave, ...props }: Props) {
  const { run, attempt, lines, wrap, setWrap, times, setTimes, full, setFull, stream, setStream } = props
  const isBad = search?.failure !== undefined
  return (
    <div className="flex min-h-[37px] shrink-0 flex-wrap items-center gap-x-3 gap-y-1 border-b border-line bg-surface px-3 py-1 text-meta text-ink3 max-sm:gap-x-1 max-sm:px-2">
      <search
        className={`flex min-w-0 items-center gap-1 max-sm:flex-1 max-sm:focus-within:basis-full ${find.q === '' ? '' : 'max-sm:basis-full'}`}
      >
        <div
          className={`flex h-7 w-68 min-w-0 items-center gap-1.5 rounded-md border bg-surface px-2 text-ink focus-within:outline-2 focus-within:outline-accent max-sm:h-[46px] max-sm:w-auto max-sm:flex-1 ${isBad ? 'border-bad' : 'border-line2'}`}
        >
          <Search {...icon} size={13} className="shrink-0 text-ink3" />
          <input
            ref={input}
            type="text"
            aria-label="Search in this log"
            placeholder="Search in this log"
            spellCheck={false}
            autoComplete="off"
            maxLength={1000}
            value={find.q}
            className="h-full min-w-0 flex-1 bg-transparent outline-none placeholder:text-ink3 max-sm:text-[16px]"
            onChange={({ target }) => setFind({ ...find, q: target.value })}
            onKeyDown={(event) => {
              if (event.key === 'Enter') step(event.shiftKey ? -1 : 1)
              else if (event.key === 'Escape') {
                setFind({ ...find, q: '' })
                leave()
              } else return
              event.preventDefault()
              event.stopPropagation()
            }}
          />
          <span className="shrink-0 text-label text-ink3" aria-live="polite">
            {search !== undefined && <Count search={search} current={current} />}
          </span>
          {find.q !== '' && (
            <button
              type="button"
              aria-label="Clear search"
              className="reach flex size-6 items-center justify-center text-ink3 hover:text-ink"
              onClick={() => setFind({ ...find, q: '' })}
            >
              <X {...icon} size={13} />
            </button>
          )}
          <button
            type="button"
            aria-label="Regular expression"
            title="Regular expression"
            aria-pressed={find.re}
            className="reach -mr-1 flex size-6 items-center justify-center rounded font-mono text-ink3 hover:text-ink aria-pressed:bg-accent-soft aria-pressed:text-accent"
            onClick={() => setFind({ ...find, re: !find.re })}
          >
            .*
          </button>
        </div>
        <IconButton
          label="Previous match"
          away={search === undefined}
          onClick={() => step(-1)}
          disabled={!search?.numbers.length}
        >
          <ChevronUp {...icon} />
        </IconButton>
        <IconButton
          label="Next match"
          away={search === undefined}
          onClick={() => step(1)}
          disabled={!search?.numbers.length}
        >
          <ChevronDown {...icon} />
        </IconButton>
      </search>
      <span className="truncate max-md:hidden">{lines}</span>
      <span className="ml-auto flex items-center gap-1">
        {setStream !== undefined && (
          <select
            aria-label="Streams"
            className={`h-6 rounded-md border bg-surface px-1.5 text-meta max-sm:h-11 max-sm:text-base ${stream === undefined ? 'border-line2 text-ink2' : 'border-accent font-medium text-ink'}`}
            value={stream ?? ''}
            onChange={({ target }) => setStream((target.value || undefined) as Stream | undefined)}
          >
            <option value="">All</option>
            <option value="stdout">stdout</option>
            <option value="stderr">stderr</option>
          </select>
        )}
        <IconButton label="Timestamps (t)" pressed={times} onClick={() => setTimes(!times)}>
          <Clock {...icon} />
        </IconButton>
        <IconButton label="Wrap long lines (w)" pressed={wrap} onClick={() => setWrap(!wrap)}>
          <WrapText {...icon} />
        </IconButton>
        {/* On a phone a step has the whole window anyway. */}
        <span className="contents max-sm:hidden">
          <IconButton
            label={full ? 'Leave full screen (z)' : 'Full screen (z)'}
            pressed={full}
            onClick={() => setFull(!full)}
          >
            {full ? <Minimize2 {...icon} /> : <Maximize2 {...icon} />}
          </IconButton>
        </span>
        <span className="flex items-center gap-2 pl-1 max-sm:gap-0 max-sm:pl-0">
          {(['stdout', 'stderr'] as const).map((stream) => (
            <a
              key={stream}
              className="inline-flex h-7 items-center justify-center gap-1 text-ink2 hover:text-ink max-sm:size-11"
              href={address(outputPath(run, attempt, stream))}
              download={`${run}.${attempt}.${stream}.txt`}
              title={`Raw bytes of ${stream}`}
            >
              <Download {...icon} size={13} /> <span className="max-sm:sr-only">{stream}</span>
            </a>
          ))}
          <Suspense fallback={<span className="size-7 max-sm:hidden" />}>
            <CopyAsCli
              of="the log"
              actions={(['stdout', 'stderr'] as const).map((stream) => [
                stream,
                { do: 'log', run, attempt, stream },
              ])}
            />
          </Suspense>
        </span>
      </span>
      {search?.failure instanceof ApiError && (
        <p role="alert" className="basis-full pb-1 text-bad">
          <bdi>{search.failure.message}</bdi> <span className="text-ink2">{search.failure.hint}</span>
        </p>
      )}
    </div>
  )
}

function Count({ search, current }: { search: LogSearch; current: number | undefined }) {
  if (search.failure !== undefined) return null
  const { numbers, isExact } = search
  if (numbers.length === 0) return isExact ? 'no match' : 'searching'
  const count = `${figure(numbers.length)}${isExact ? '' : '+'}`
  return current === undefined ? count : `${figure(current + 1)} of ${count}`
}

function IconButton(props: {
  label: string
  pressed?: boolean
  disabled?: boolean
  /** Hidden on a phone, where there is no room for it. */
  away?: boolean
  onClick: () => void
  children: ReactNode
}) {
  return (
    <button
      type="button"
      aria-label={props.label}
      title={props.label}
      aria-pressed={props.pressed}
      disabled={props.disabled}
      className={`flex size-7 items-center justify-center rounded-md text-ink2 enabled:hover:bg-hover enabled:hover:text-ink disabled:text-line2 aria-pressed:bg-accent-soft aria-pressed:text-accent max-sm:size-11 ${props.away ? 'max-sm:hidden' : ''}`}
      onClick={props.onClick}
    >
      {props.children}
    </button>
  )
}
