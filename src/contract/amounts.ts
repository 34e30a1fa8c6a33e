import * as z from './mini-zod.ts'
import { described } from './mini-zod.ts'

const units: Readonly<Record<string, number>> = { '': 1, k: 1024, m: 1024 ** 2, g: 1024 ** 3, t: 1024 ** 4 }

/** Parses "512MB", "1.5 GiB" or "4096" to bytes (a KB has 1,024); undefined for any other text. */
export function parseBytes(text: string): number | undefined {
  const match = /^(\d+(?:\.\d+)?)\s*([kmgt]?)i?b?$/i.exec(text.trim())
  if (match === null) return undefined
  const bytes = Math.round(Number(match[1]) * units[match[2]!.toLowerCase()]!)
  return bytes > 0 ? bytes : undefined
}

/** Parses an amount that a machine has or allows. Less than a MB is refused, since somebody forgot the unit. */
export function parseMachineBytes(text: string): number | undefined {
  const bytes = parseBytes(text)
  return bytes !== undefined && bytes >= 1024 ** 2 ? bytes : undefined
}

/** An amount of bytes: a number, or text such as 512MB. */
export const Size = z
  .union([z.number().check(z.positive()), z.string()])
  .check(z.refine((size) => parseBytes(String(size)) !== undefined, 'a size is written like 512MB or 4GB'))
const Cpus = z.number().check(z.positive(), z.maximum(100_000))

/** The amounts that a runner must have free for the step; they are reserved while it runs. */
export const Resources = z.strictObject({
  cpus: described(
    z.optional(z.number().check(z.nonnegative(), z.maximum(100_000))),
    'Cores, such as 2, 0.5 or 0; default: the value in limits',
  ),
  memory: described(z.optional(Size), 'Memory, such as 2GB; default: the value in limits'),
})
export type Resources = z.infer<typeof Resources>

/** The amounts that one try of the step may use; beyond them it is ended (or, for CPUs, slowed down). */
export const Limits = z.strictObject({
  cpus: described(z.optional(Cpus), 'Cores that all its processes share'),
  memory: described(
    z.optional(Size),
    'Memory of all its processes together; if it uses more, it ends with reason oom',
  ),
  processes: described(z.optional(z.int().check(z.positive())), 'Processes and threads at once'),
  disk: described(z.optional(Size), 'Size of its workspace; if it uses more, it ends with reason quota'),
})
export type Limits = z.infer<typeof Limits>
