import type { Requirements } from '../../contract/attempt.ts'

/** What placement sees of a runner. */
export interface Candidate {
  readonly id: string
  readonly group: string
  readonly labels: Readonly<Record<string, string>>
  readonly slots: number
  /** Slots taken. */
  readonly used: number
  readonly status: 'connected' | 'disconnected' | 'draining'
}

export interface Wishes {
  /** Where the files of the run are. */
  home?: string
  /** Runners that have rejected it. */
  not?: ReadonlySet<string>
}

export type Choice =
  | { type: 'runner'; id: string }
  | { type: 'wait'; why: string }
  /** All that could take it have rejected it. */
  | { type: 'rejected' }

export const DEFAULT_GROUP = 'default'

/** Chooses a runner for an attempt: the run's home where it fits, else the one with most free slots. */
export function choose(requires: Requirements, runners: Iterable<Candidate>, wishes: Wishes = {}): Choice {
  const all = [...runners]
  const present = all.filter((runner) => runner.status !== 'disconnected')
  if (present.length === 0) return wait('no runner is connected')

  const { runner: named } = requires
  const group = groupOf(requires)
  const where = group === undefined ? '' : ` of group "${group}"`
  let fitting = present.filter((runner) => group === undefined || runner.group === group)
  if (fitting.length === 0) return wait(`no runner in group "${group}"`)
  if (named !== undefined) {
    fitting = fitting.filter((runner) => runner.id === named)
    if (fitting.length === 0) return wait(`runner "${named}"${where} is not connected`)
  }
  fitting = fitting.filter((runner) => fits(runner, requires))
  if (fitting.length === 0) {
    const who = named === undefined ? `no runner in group "${group}" has` : `runner "${named}" does not have`
    const wanted = Object.entries(requires.labels ?? {}).map(([name, value]) => `${name}=${value}`)
    return wait(`${who} label${wanted.length > 1 ? 's' : ''} ${wanted.join(', ')}`)
  }

  const taking = fitting.filter((runner) => runner.status === 'connected')
  if (taking.length === 0)
    return wait(
      fitting.length > 1
        ? `all ${fitting.length} runners${where} are draining`
        : `${theOne(fitting)} is draining`,
    )
  const willing = taking.filter((runner) => !wishes.not?.has(runner.id))
  if (willing.length === 0) {
    const others = all.some((runner) => !wishes.not?.has(runner.id) && fits(runner, requires))
    return others ? wait(`those that are connected${where} rejected it`) : { type: 'rejected' }
  }

  const home = willing.find((runner) => runner.id === wishes.home)
  const free = (home ? [home] : willing).filter((runner) => runner.used < runner.slots)
  if (free.length > 0) return { type: 'runner', id: free.reduce(freer).id }
  if (home) return wait(`runner "${home.id}", which has the files of this run, is busy (${slotsOf([home])})`)
  return wait(
    willing.length > 1
      ? `all ${willing.length} runners${where} are busy (${slotsOf(willing)})`
      : `${theOne(willing)}${where} is busy (${slotsOf(willing)})`,
  )
}

/** A runner that is named may be of any group. */
const groupOf = ({ runner, group }: Requirements) =>
  group ?? (runner === undefined ? DEFAULT_GROUP : undefined)

function fits(runner: Candidate, requires: Requirements): boolean {
  const group = groupOf(requires)
  if (group !== undefined && runner.group !== group) return false
  if (requires.runner !== undefined && runner.id !== requires.runner) return false
  return Object.entries(requires.labels ?? {}).every(([name, value]) => runner.labels[name] === value)
}

const wait = (why: string): Choice => ({ type: 'wait', why })
const theOne = (runners: readonly Candidate[]) => `runner "${runners[0]!.id}"`
const freer = (a: Candidate, b: Candidate) => (b.slots - b.used > a.slots - a.used ? b : a)

function slotsOf(runners: readonly Candidate[]): string {
  const sum = (of: (runner: Candidate) => number) => runners.reduce((total, runner) => total + of(runner), 0)
  return `${sum((runner) => runner.used)} of ${sum((runner) => runner.slots)} slots`
}

/** Equal for equal requirements. */
export function needKey({ runner, group, labels = {} }: Requirements): string {
  return JSON.stringify([runner, group, Object.entries(labels).sort(([a], [b]) => (a < b ? -1 : 1))])
}
