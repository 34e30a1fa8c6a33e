import { ErrandError } from '../../../contract/errors.ts'
import { nodeRequirements } from './node-requirements.ts'
import { requirementLines } from './requirement-lines.ts'
import type { Recipe } from './simple-source.ts'

const OPTIONS = '--omit=dev --ignore-scripts --no-audit --no-fund --no-update-notifier --cache=/tmp/npm-cache'

/**
 * Dependencies from the list, and from a package.json among the files; with its package-lock.json where nothing is added.
 * Scripts of packages are not run.
 */
export function nodeRecipe(requirements: readonly string[], files: ReadonlyMap<string, string>): Recipe {
  const listed = nodeRequirements(requirementLines(requirements, 'requirements'))
  const isMore = Object.keys(listed).length > 0
  const own = files.get('package.json')
  const lock = isMore || own === undefined ? undefined : files.get('package-lock.json')
  const manifest: Manifest = own === undefined ? { private: true } : packageJson(own)
  const merged = isMore ? { ...manifest, dependencies: { ...manifest.dependencies, ...listed } } : manifest
  const command = lock === undefined ? 'install' : 'ci'
  return {
    dependencies:
      !isMore && own === undefined
        ? {}
        : {
            'package.json': `${JSON.stringify(merged, null, 2)}\n`,
            ...(lock === undefined ? {} : { 'package-lock.json': lock }),
          },
    before: ['ENV NODE_ENV=production'],
    install: [`RUN npm ${command} ${OPTIONS} && rm -rf /tmp/npm-cache`],
    program: 'node',
  }
}

interface Manifest {
  private?: boolean
  dependencies?: Record<string, string>
}

function packageJson(text: string): Manifest {
  const refused = (why: string, cause?: unknown) =>
    new ErrandError('source_refused', `package.json ${why}.`, {
      hint: 'Write it as {"dependencies": {"telegraf": "^4.16"}}.',
      cause,
    })
  let manifest: unknown
  try {
    manifest = JSON.parse(text)
  } catch (error) {
    throw refused(`is no JSON: ${(error as Error).message}`, error)
  }
  if (!isObject(manifest)) throw refused('is no object')
  if (manifest.dependencies !== undefined && !isObject(manifest.dependencies))
    throw refused('has "dependencies" that are no object')
  return manifest
}

const isObject = (value: unknown): value is Record<string, never> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
