import { clockOf, duration, exactTime, timeOf, useNow } from '../data/clock.ts'

/** When something was, with zone and UTC on hover. */
export function When({ time }: { time: string }) {
  const now = useNow()
  return (
    <time dateTime={time} title={exactTime(time)}>
      {timeOf(time, now)}
    </time>
  )
}

function Ticking({ from }: { from: number }) {
  const now = useNow()
  return <>{clockOf(now - from)}</>
}

/** How long something took, or takes since. */
export function Took({ from, to }: { from: string | undefined; to?: string | undefined }) {
  if (from === undefined) return <span className="text-ink3">–</span>
  const began = Date.parse(from)
  if (to !== undefined) return <span className="font-mono">{duration(Date.parse(to) - began)}</span>
  return (
    <span className="font-mono text-accent">
      <Ticking from={began} />
    </span>
  )
}
