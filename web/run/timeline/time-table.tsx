import { workOf } from '../../../src/contract/runs/work-times.ts'
import { duration, timeOf, useNow } from '../../data/clock.ts'
import { type RunDetail, shownStep } from '../../data/runs.ts'
import { statusWord } from '../../parts/status-mark.tsx'
import { nodeId } from '../graph/nodes.ts'

/** A start and an end, in ms since 1970. */
export interface Span {
  from: number
  to: number
}

/**
 * Shows the timeline as a table: for each step when it began, how long it waited and took, and how long the last good
 * run took.
 */
export function TimeTable({
  run,
  goodOf,
  path,
}: {
  run: RunDetail
  goodOf: ReadonlyMap<string, Span>
  path: ReadonlySet<string>
}) {
  const now = useNow()
  return (
    <table className="w-full text-left text-meta">
      <thead className="text-label text-ink2">
        <tr>
          {['Step', 'Status', 'Started', 'Waited', 'Duration', 'Last good run'].map((word) => (
            <th
              key={word}
              scope="col"
              className="border-b border-line px-edge py-1.5 font-medium max-sm:px-2"
            >
              {word}
            </th>
          ))}
        </tr>
      </thead>
      <tbody>
        {run.steps.map((step) => {
          const id = nodeId(step)
          const ghost = goodOf.get(id)
          const work = workOf(step, now)
          const cells = [
            statusWord(shownStep(step)),
            step.started_at === undefined ? '–' : timeOf(step.started_at, now),
            work === undefined ? '–' : duration(work.waitedMs),
            work === undefined ? '–' : duration(work.workedMs),
            ghost === undefined ? '–' : duration(ghost.to - ghost.from),
          ]
          return (
            <tr key={id} className="border-b border-line">
              <th scope="row" className="px-edge py-1.5 font-medium max-sm:px-2">
                <bdi>{step.phase === 'main' ? step.step : `${step.phase}: ${step.step}`}</bdi>
                {path.has(id) && <span className="ml-2 text-label font-normal text-ink2">critical path</span>}
              </th>
              {cells.map((cell, at) => (
                // biome-ignore lint/suspicious/noArrayIndexKey: cells have no other name
                <td key={at} className="px-edge py-1.5 max-sm:px-2">
                  {cell}
                </td>
              ))}
            </tr>
          )
        })}
      </tbody>
    </table>
  )
}
