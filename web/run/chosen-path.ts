import { useQuery } from '@tanstack/react-query'
import { instanceQuery } from '../data/instances.ts'
import { type RunDetail, runQuery } from '../data/runs.ts'
import { firstInstance, headOf, type InstanceRef } from './chosen-instance.ts'

/** Maximum depth of sub-runs that open in the page; deeper ones have a page of their own. */
export const MOST_DEEP = 3

/** A place in a run, or in a run that it has started. */
export interface Level {
  run: RunDetail
  place: InstanceRef
}

const isBad = ({ instance: { status } }: InstanceRef) => status === 'failed' || status === 'interrupted'

interface ChosenLevel {
  level: Level | undefined
  rest: string | undefined
  /** The sub-run in which the path continues. */
  child: string | undefined
  pending: boolean
}

/** Returns the place that a name means in a run; requests it if it did not come with the run. */
function useLevel(run: RunDetail | undefined, name: string | undefined, auto: boolean): ChosenLevel {
  const { head, rest } = (run && name !== undefined ? headOf(run.steps, name) : undefined) ?? {}
  const far = head !== undefined && !('instance' in head) ? head : undefined
  const version = far?.step.finished_at ?? run?.last_seq
  const { data, isPending } = useQuery({
    ...instanceQuery(run?.run_id ?? '', far?.step ?? none, { host: far?.host, index: far?.index }, version),
    placeholderData: (before) => (before?.index === far?.index ? before : undefined),
    enabled: far !== undefined,
  })
  if (run === undefined) return { level: undefined, rest: undefined, child: undefined, pending: false }
  const fetched = far && data ? { step: far.step, instance: data, index: data.index } : undefined
  const named = head !== undefined && 'instance' in head ? head : fetched
  const pending = far !== undefined && isPending
  const place = pending ? undefined : (named ?? firstInstance(run.steps))
  const goesOn = rest !== undefined || (auto && place !== undefined && isBad(place))
  return {
    level: place && { run, place },
    rest: named === undefined ? undefined : rest,
    child: goesOn ? place?.instance.child_run_id : undefined,
    pending,
  }
}
const none = { step: '', phase: 'main' as const }

const useChild = (id: string | undefined) => useQuery({ ...runQuery(id ?? ''), enabled: id !== undefined })

/**
 * Returns the path to the place that is shown, from the run inwards. Without a name, it leads to the first failure,
 * inside the sub-run that failed.
 */
export function useChosenPath(run: RunDetail, name: string | undefined): { path: Level[]; pending: boolean } {
  const auto = name === undefined
  const first = useLevel(run, name, auto)
  const one = useChild(first.child)
  const second = useLevel(first.child === undefined ? undefined : one.data, first.rest, auto)
  const two = useChild(second.child)
  const third = useLevel(second.child === undefined ? undefined : two.data, second.rest, auto)
  const three = useChild(third.child)
  const fourth = useLevel(third.child === undefined ? undefined : three.data, third.rest, auto)
  const levels = [first, second, third, fourth]
  const waits = [one, two, three].some(({ isLoading }) => isLoading)
  return {
    path: levels.flatMap(({ level }) => level ?? []),
    pending: levels.some(({ pending }) => pending) || (waits && !auto),
  }
}
