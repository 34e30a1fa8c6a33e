import { config, type core, globalRegistry } from 'zod/mini'
import en from 'zod/v4/locales/en.js'

/**
 * Configures the small build of zod, for the schemas that `errand run` needs. It exists beside the other build only for
 * a fast start: bundled, with 150 schemas, it is 25 kB instead of 131 kB, and takes about 20 ms less, where a whole
 * short run takes some 50. Schemas that only hubs, runners and agents read use the other build: its schemas
 * (`z.string().optional()`) read better, and programs which embed Errand use it for theirs. Both make the same schemas,
 * and each accepts the other's. The small build leaves the wording of problems to its users; this is the wording of the
 * other one.
 */
config(en())

export * from 'zod/mini'

/** Adds a description to the schema itself, for people who write such a value; `z.describe` makes a copy. */
export function described<S extends core.$ZodType>(schema: S, description: string): S {
  globalRegistry.add(schema, { description })
  return schema
}

/** Adds an example to the schema itself, for people who have written another kind of value. */
export function withExample<S extends core.$ZodType>(schema: S, example: core.output<S>): S {
  globalRegistry.add(schema, { examples: [example] })
  return schema
}
