import { useQueryClient } from '@tanstack/react-query'
import { ChartGantt, List, Workflow } from 'lucide-react'
import { useCallback, useMemo, useRef, useSyncExternalStore } from 'react'
import type { RunDetail } from '../data/runs.ts'
import { useNavigate, useSearch } from '../navigation/navigation.tsx'
import { copyText } from '../parts/copy-button.tsx'
import { useLetters } from '../parts/letters.ts'
import { allFailedInstances, failedInstances, type InstanceRef, instanceName } from './chosen-instance.ts'
import { type RunSearch, type RunView, runViews } from './run-search.ts'

const words = { graph: 'Graph', list: 'List', timeline: 'Timeline' } as const
const icons = { graph: Workflow, list: List, timeline: ChartGantt } as const

/** Reports whether the window matches a media query, and follows changes. */
export function useWindow(query: string): boolean {
  const media = useMemo(() => matchMedia(query), [query])
  const watch = useCallback(
    (call: () => void) => {
      media.addEventListener('change', call)
      return () => media.removeEventListener('change', call)
    },
    [media],
  )
  return useSyncExternalStore(watch, () => media.matches)
}

/**
 * Returns the view that an address asks for. By default, a run of one step has no graph. Neither does a low window,
 * such as a large one zoomed in, since a graph would leave no room for a question.
 */
export function useView({ view }: RunSearch, run: RunDetail): RunView {
  const isLow = useWindow('(max-height: 599px)')
  return view ?? (run.steps.length > 1 && !isLow ? 'graph' : 'list')
}

/** Switches between graph, list and timeline; shows only the icons if there is little room. */
export function ViewSwitch({ view, small = false }: { view: RunView; small?: boolean }) {
  const navigate = useNavigate('/runs/$run')
  return (
    <fieldset aria-label="View" className="segments shrink-0">
      {runViews.map((one, index) => {
        const Icon = icons[one]
        return (
          <button
            key={one}
            type="button"
            aria-pressed={one === view}
            aria-label={words[one]}
            title={`${words[one]}  ${index + 1}`}
            className={`segment ${small ? 'px-1.5' : 'px-2'} ${one === 'graph' ? 'max-sm:hidden' : ''}`}
            onClick={() => navigate({ search: (was) => ({ ...was, view: one }), hash: (was) => was ?? '' })}
          >
            <Icon size={13} strokeWidth={1.75} aria-hidden />
            {!small && words[one]}
          </button>
        )
      })}
    </fieldset>
  )
}

interface Keys {
  run: RunDetail
  chosen: InstanceRef | undefined
  choose: (ref: InstanceRef) => void
  /** Actions for `c` and `x`; `cancel` is undefined if the run cannot be canceled. */
  compare: () => void
  cancel: (() => void) | undefined
}

/**
 * Handles the letter keys of a run's page: `1 2 3` views, `f F` failures, `c` compare, `l` copies the link, `x`
 * cancels after asking.
 */
export function useRunKeys(keys: Keys): void {
  const navigate = useNavigate('/runs/$run')
  const client = useQueryClient()
  const { step: stepName } = useSearch('/runs/$run')
  const walked = useRef<InstanceRef>(undefined)
  useLetters((key) => {
    const { run, chosen, choose, compare, cancel } = keys
    const view = runViews[Number(key) - 1]
    if (view !== undefined) void navigate({ search: (was) => ({ ...was, view }) })
    else if (key === 'f' || key === 'F') {
      const walk = (failed: readonly InstanceRef[]) => {
        // The failure that the last key led to may not be loaded yet.
        const { current: last } = walked
        const from = last !== undefined && instanceName(last) === stepName ? last : chosen
        const at = failed.findIndex(
          ({ step, index }) =>
            step.step === from?.step.step && step.phase === from.step.phase && index === from.index,
        )
        const next = key === 'f' ? at + 1 : (at < 0 ? failed.length : at) - 1
        const place = failed.at(next % (failed.length || 1))
        walked.current = place
        if (place !== undefined) choose(place)
      }
      void allFailedInstances(client, run).then(walk, () => walk(failedInstances(run.steps)))
    } else if (key === 'c') compare()
    else if (key === 'l') void copyText(location.href)
    else if (key === 'x' && cancel !== undefined) cancel()
    else return false
  })
}
