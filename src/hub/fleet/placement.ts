import { type Need, type RunnerKey, takesSlot } from './needs.ts'
import { type Candidate, goesOn, hasRoom, keeps, takes } from './offers.ts'
import { type Waiting, whyWaits } from './waiting-text.ts'

export interface Wishes {
  /** Where the files of the run are. */
  home?: RunnerKey
  /** Runners that have rejected it. */
  not?: ReadonlySet<RunnerKey>
}

export type Choice =
  | { type: 'runner'; key: RunnerKey }
  | Waiting
  /** All that could take it have rejected it. */
  | { type: 'rejected' }

/** Chooses a runner for an attempt: the run's home where that could take it, now or when it is back, else the one with most free slots; of a bot, with most free memory. */
export function choose(need: Need, runners: ReadonlyMap<RunnerKey, Candidate>, wishes: Wishes = {}): Choice {
  const { not } = wishes
  const home = wishes.home && runners.get(wishes.home)
  const canTake = (runner: Candidate) => takes(runner, need) && !not?.has(runner.key)
  if (home && keeps(home, need) && !not?.has(home.key)) {
    const free = goesOn(home) && !home.kept && hasRoom(home, need.requires)
    return free ? { type: 'runner', key: home.key } : whyWaits(need, [home], wishes)
  }
  const isFreer = takesSlot(need.requires) ? hasMoreSlots : hasMoreMemory
  let best: Candidate | undefined
  for (const runner of runners.values())
    if (hasRoom(runner, need.requires) && !runner.kept && canTake(runner))
      best = best === undefined || isFreer(runner, best) ? runner : best
  return best ? { type: 'runner', key: best.key } : whyWaits(need, [...runners.values()], { not })
}

const hasMoreSlots = (a: Candidate, b: Candidate): boolean => a.slots - a.used > b.slots - b.used
const hasMoreMemory = (a: Candidate, b: Candidate): boolean => a.freeMemoryBytes > b.freeMemoryBytes
