import { existsSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { hubConfig } from '../dialects/environment.ts'

/** The hub's configuration: `--config`, ERRAND_CONFIG, or the first that is there. */
export function configPath(given: string | undefined, data: string): string | undefined {
  const named = given ?? hubConfig(process.env)
  if (named !== undefined) return resolve(named)
  const names = ['errand.yaml', 'ados.yaml']
  return [...names, ...names.map((name) => join(data, name))].map((path) => resolve(path)).find(existsSync)
}
