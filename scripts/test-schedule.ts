import type { Duration } from './test-durations.ts'

/** A test file to run, with the facts that determine when. */
export interface Work {
  /** Path below the project's folder. */
  file: string
  /** `foreign`: with colours, and another time zone, language, umask and home than tests usually have. */
  surroundings?: 'foreign'
  /** Names of the services that it asks for. */
  services: readonly string[]
  /** A service that no other file may use at the same time. */
  alone?: string
  /** Whether it adds and removes network interfaces, as containers do. */
  changesNetwork?: boolean
  /** The duration of an earlier run; undefined for a file that has never run. */
  duration?: Duration
}

export interface Width {
  /** Processors of the machine. */
  cores: number
  /** Maximum number of files at once, however little processor time they need. */
  most: number
}

/** Least weight of a file. Even a file that mostly waits loads its code and starts programs. */
const LEAST_WEIGHT = 0.2
/** Least weight of a file with a browser, whose processor time is not counted: nobody waits for its processes. */
const LEAST_WITH_BROWSER = 0.75
/** Highest weight. A file whose processes use several processors shares them with the others. */
const MOST_WEIGHT = 1
/** Expected duration of a file without a recorded one: that of an average file. */
const UNKNOWN: Required<Duration> = { wallMs: 3000, cpuMs: 2000 }
/** Overbooking of the processors, as a factor: files sometimes wait, and the recorded figures include waiting. */
const OVERBOOKED = 1.35

/** Returns the share of a processor that the file keeps busy while it runs, from 0.2 to 1. */
export function weightOf({ duration = UNKNOWN, services }: Work): number {
  const { wallMs, cpuMs = wallMs } = duration
  const least = services.includes('browsers') ? LEAST_WITH_BROWSER : LEAST_WEIGHT
  return Math.min(MOST_WEIGHT, Math.max(least, cpuMs / Math.max(1, wallMs)))
}

export const expectedMs = ({ duration = UNKNOWN }: Work): number => duration.wallMs

/** Reports whether one disturbs the other: a browser aborts its loading when a network interface comes or goes. */
const disturb = (one: Work, other: Work): boolean =>
  one.changesNetwork === true && other.services.includes('browsers')

/**
 * Decides which test file begins next. It goes through the files in their order, and takes the first that fits beside
 * the running ones: by weight and by number, with each of its services ready, and none of them used by a file that must
 * be alone with it. A file with a browser and a file that changes the network do not run at the same time. A file that
 * waits to be alone with a service holds back the later files that ask for that service.
 */
export class Schedule {
  readonly #width: Width
  readonly #isReady: (service: string) => boolean
  readonly #waiting: Work[]
  readonly #running = new Set<Work>()

  constructor(works: readonly Work[], width: Width, isReady: (service: string) => boolean = () => true) {
    this.#waiting = [...works]
    this.#width = width
    this.#isReady = isReady
  }

  get waiting(): readonly Work[] {
    return this.#waiting
  }

  /** Returns the file that begins now; undefined if none may begin until one has ended or a service is ready. */
  next(): Work | undefined {
    const running = [...this.#running]
    if (running.length >= this.#width.most) return undefined
    const left = this.#width.cores * OVERBOOKED - running.reduce((sum, work) => sum + weightOf(work), 0)
    const heldBack = new Set(running.flatMap(({ alone }) => alone ?? []))
    const index = this.#waiting.findIndex((work) => {
      const { services, alone } = work
      if (!services.every(this.#isReady)) return false
      const fits =
        (running.length === 0 || weightOf(work) <= left) &&
        !services.some((service) => heldBack.has(service)) &&
        !running.some((other) => disturb(work, other) || disturb(other, work)) &&
        (alone === undefined || !running.some((other) => other.services.includes(alone)))
      if (!fits && alone !== undefined) heldBack.add(alone)
      return fits
    })
    if (index < 0) return undefined
    const [work] = this.#waiting.splice(index, 1)
    this.#running.add(work!)
    return work
  }

  /** Reports whether a waiting or running file asks for the service. */
  isNeeded(service: string): boolean {
    return [...this.#waiting, ...this.#running].some(({ services }) => services.includes(service))
  }

  ended(work: Work): void {
    this.#running.delete(work)
  }
}

/** Returns how many milliseconds the files will take from now. `runningMs` says how long each running file has run. */
export function expectedEnd(
  waiting: readonly Work[],
  width: Width,
  runningMs: ReadonlyMap<Work, number> = new Map(),
): number {
  const schedule = new Schedule([...runningMs.keys(), ...waiting], width)
  let nowMs = 0
  const ends: { atMs: number; work: Work }[] = []
  for (;;) {
    for (let work = schedule.next(); work !== undefined; work = schedule.next()) {
      ends.push({ atMs: nowMs + leftMs(work, runningMs.get(work) ?? 0), work })
    }
    ends.sort((a, b) => b.atMs - a.atMs)
    const first = ends.pop()
    if (first === undefined) return nowMs
    nowMs = first.atMs
    schedule.ended(first.work)
  }
}

/** Returns the time that a file still needs. A file that takes longer than expected will take some more. */
function leftMs(work: Work, ranMs: number): number {
  const left = expectedMs(work) - ranMs
  return left > 0 ? left : ranMs / 4
}
