import { config, type core, globalRegistry } from 'zod/mini'
import en from 'zod/v4/locales/en.js'

/**
 * The small build of zod, for the schemas that `errand run` needs. It stands beside the other one for its start alone: bundled,
 * with 150 schemas, it is 25 kB and not 131 kB, and takes about 20 ms less, where all of a short run takes some 50. What only
 * hubs, runners and agents read is written with the other, whose schemas (`z.string().optional()`) read better, and
 * that programs which embed Errand write their own with. Both make the same schemas, and each takes the other's.
 * The small build leaves the wording of problems to its users; this is the other one's.
 */
config(en())

export * from 'zod/mini'

/** The schema itself, with words for those who write such a value; `z.describe` makes another one of it. */
export function described<S extends core.$ZodType>(schema: S, description: string): S {
  globalRegistry.add(schema, { description })
  return schema
}

/** The schema itself, with such a value for those who have written another kind of one. */
export function withExample<S extends core.$ZodType>(schema: S, example: core.output<S>): S {
  globalRegistry.add(schema, { examples: [example] })
  return schema
}
