import { LEAST_WAIT_MS, type Timed, workOf } from '../../src/contract/runs/work-times.ts'
import { clockOf, duration, exactTime, timeOf, useNow } from '../data/clock.ts'

/** Shows a time; hovering shows it with its zone and in UTC. */
export function When({ time }: { time: string }) {
  const now = useNow()
  return (
    <time dateTime={time} title={exactTime(time)}>
      {timeOf(time, now)}
    </time>
  )
}

type Of = { of: Timed }

function TookNow({ of }: Of) {
  const work = workOf(of, useNow())
  const colour = of.waiting_since === undefined ? 'text-accent' : ''
  return <span className={`font-mono ${colour}`}>{clockOf(work?.workedMs ?? 0)}</span>
}

/** Shows how long a run or step has been worked on, without its waits. */
export function Took({ of }: Of) {
  if (of.started_at === undefined) return <span className="text-ink3">–</span>
  if (of.finished_at === undefined) return <TookNow of={of} />
  return <span className="font-mono">{duration(workOf(of, 0)!.workedMs)}</span>
}

/** Shows how long it waited while nothing in it was worked on; shows nothing below a second. */
export function Waited({ of, className = '' }: Of & { className?: string }) {
  const now = useNow()
  const waited = workOf(of, now)?.waitedMs ?? 0
  if (waited < LEAST_WAIT_MS) return null
  const isWaiting = of.finished_at === undefined && of.waiting_since !== undefined
  return (
    <span className={`whitespace-nowrap ${isWaiting ? 'text-ask' : 'text-ink3'} ${className}`}>
      {isWaiting ? 'waits' : 'waited'} {clockOf(waited)}
    </span>
  )
}
