import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { affectedTests, changesSince } from './test-affected.ts'
import type { Durations, Variant } from './test-durations.ts'
import { expectedMs, type Work } from './test-schedule.ts'
import { type Service, servicesOf } from './test-services.ts'

export interface PlanOptions {
  durations: Durations
  variantOf(services: readonly Service[]): Variant
  /** The last commit whose tests all passed here. */
  lastPassed?: string
  /** Puts the fast files before the long ones, because a person waits for the first results. */
  fastFirst?: boolean
}

export interface Plan {
  works: Work[]
  /** The reason for the order, for people. */
  note: string
}

/** Longest duration of a fast file. */
const FAST_MS = 1000
/** The number of files below which there is no order to choose. */
const FEW = 20

/**
 * Orders test files. Files that import a changed file come first, the nearest first. The longest of the others follow,
 * so that no single file delays the end. If half of all files import a changed file, only direct importers come first.
 */
export function planTests(root: string, files: readonly string[], options: PlanOptions): Plan {
  const { durations, variantOf, fastFirst = false } = options
  const servicesFor = servicesOf(root)
  const works = files.map((file): Work => {
    const services = servicesFor(file)
    const duration = durations.of(file, variantOf(services))
    return {
      file,
      services,
      ...marksOf(root, file, services),
      ...(duration !== undefined && { duration }),
    }
  })
  const usual = works.sort((a, b) => expectedMs(b) - expectedMs(a) || (a.file < b.file ? -1 : 1))
  const byTime = fastFirst
    ? [
        ...usual.filter((work) => expectedMs(work) <= FAST_MS),
        ...usual.filter((work) => expectedMs(work) > FAST_MS),
      ]
    : usual
  if (files.length <= FEW) return { works: byTime, note: '' }

  const changes = changesSince(root, options.lastPassed)
  if (changes === undefined) return { works: byTime, note: 'usual order: this is not a Git checkout' }
  const affected = affectedTests(root, files, changes.files)
  if (affected === undefined)
    return { works: byTime, note: `usual order: what has changed since ${changes.since} affects all files` }
  const many = affected.size * 2 >= files.length
  const distance = ({ file }: Work) => {
    const imports = affected.get(file)
    return imports === undefined || (many && imports > 1) ? Number.POSITIVE_INFINITY : imports
  }
  const first = byTime.filter((work) => distance(work) < Number.POSITIVE_INFINITY)
  first.sort((a, b) => distance(a) - distance(b))
  const rest = byTime.filter((work) => !first.includes(work))
  const count = (many: number) => `${many} ${many === 1 ? 'file' : 'files'}`
  const what = `what has changed since ${changes.since} affects ${count(affected.size)}`
  const note = many ? `usual order after ${count(first.length)}: ${what}` : `${what}, which come first`
  return { works: [...first, ...rest], note: affected.size === 0 ? '' : note }
}

/** Returns the properties of a file that its text shows, beside the services that it asks for. */
function marksOf(root: string, file: string, services: readonly Service[]): Partial<Work> {
  const path = join(root, file)
  const text = existsSync(path) ? readFileSync(path, 'utf8') : ''
  // It ends or stops programs of the cluster that all tests share.
  const isAlone = services.includes('kubernetes') && /\balone: true\b/.test(text)
  // It creates containers or pods, or its own pair of interfaces.
  const changesNetwork =
    services.some((one) => one === 'docker' || one === 'kubernetes') || /\/cable\.ts'/.test(text)
  return { ...(isAlone && { alone: 'kubernetes' }), ...(changesNetwork && { changesNetwork }) }
}
