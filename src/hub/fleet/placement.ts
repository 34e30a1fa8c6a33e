import type { Need } from './needs.ts'
import { type Candidate, goesOn, hasRoom, keeps, takes } from './offers.ts'
import { type Waiting, whyWaits } from './waiting-text.ts'

export interface Wishes {
  /** Where the files of the run are. */
  home?: string
  /** Runners that have rejected it. */
  not?: ReadonlySet<string>
}

export type Choice =
  | { type: 'runner'; id: string }
  | Waiting
  /** All that could take it have rejected it. */
  | { type: 'rejected' }

/** Chooses a runner for an attempt: the run's home where that could take it, now or when it is back, else the one with most free slots. */
export function choose(need: Need, runners: ReadonlyMap<string, Candidate>, wishes: Wishes = {}): Choice {
  const { home: homeId = '', not } = wishes
  const home = runners.get(homeId)
  const canTake = (runner: Candidate) => takes(runner, need) && !not?.has(runner.id)
  if (home && keeps(home, need) && !not?.has(homeId)) {
    const free = goesOn(home) && !home.kept && hasRoom(home, need.requires)
    return free ? { type: 'runner', id: homeId } : whyWaits(need, [home], wishes)
  }
  let best: Candidate | undefined
  for (const runner of runners.values())
    if (hasRoom(runner, need.requires) && !runner.kept && canTake(runner))
      best = best === undefined || isFreer(runner, best) ? runner : best
  return best ? { type: 'runner', id: best.id } : whyWaits(need, [...runners.values()], { not })
}

const isFreer = (a: Candidate, b: Candidate): boolean => a.slots - a.used > b.slots - b.used
