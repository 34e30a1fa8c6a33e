import { config, type core, globalRegistry } from 'zod/mini'
import en from 'zod/v4/locales/en.js'

/**
 * zod's small build, for the schemas that `errand run` needs: the same schemas, made in a third of the time, which is
 * most of what it takes to start. That build leaves the wording of problems to its users; this is the other one's.
 */
config(en())

export * from 'zod/mini'

/** The schema itself, with words for those who write such a value; `z.describe` makes another one of it. */
export function described<S extends core.$ZodType>(schema: S, description: string): S {
  globalRegistry.add(schema, { description })
  return schema
}
