import { execFileSync } from 'node:child_process'
import { globSync, readFileSync } from 'node:fs'
import { extname, join } from 'node:path'
import { importsOf } from './imports.ts'

/** Matches files that affect how all others run. After a change to one of them, no order is better than another. */
const DECIDES_ALL =
  /^(package(-lock)?\.json|tsconfig[^/]*\.json|scripts\/(test|setup)[^/]*(?<!\.test)\.m?[jt]s|test\/support\/test-reporter\.ts)$/

export interface Changes {
  /** Paths below the project's folder. */
  files: string[]
  /** The commit that they are compared with, for people. */
  since: string
}

/**
 * Returns the files that differ from the merge base with the upstream branch, uncommitted changes included. If the
 * merge base is HEAD itself, as in a fresh clone, compares with the last commit that passed here, or else with the
 * previous commit. Undefined outside a Git checkout.
 */
export function changesSince(root: string, lastPassed: string | undefined): Changes | undefined {
  const git = gitOf(root)
  const head = git('rev-parse', 'HEAD')
  // A folder within another project's checkout is not a checkout of its own.
  if (head === undefined || git('rev-parse', '--show-prefix') !== '') return undefined
  const upstream = git('rev-parse', '@{upstream}') ?? git('rev-parse', 'origin/HEAD')
  const merged = upstream === undefined ? undefined : git('merge-base', 'HEAD', upstream)
  const passed = lastPassed === undefined ? undefined : git('merge-base', 'HEAD', lastPassed)
  const base = [merged, passed, git('rev-parse', 'HEAD~1')].find((one) => one !== undefined && one !== head)
  const changed = git('diff', '-z', '--name-only', '--no-renames', base ?? head)
  const added = git('ls-files', '-z', '--others', '--exclude-standard')
  if (changed === undefined || added === undefined) return undefined
  const files = [...changed.split('\0'), ...added.split('\0')].filter((file) => file !== '')
  return { files, since: (base ?? head).slice(0, 8) }
}

/** Returns the tests that import a changed file; all tests if that is unknown, or a changed file affects every test. */
export function changedTests(root: string, tests: readonly string[]): readonly string[] {
  const changes = changesSince(root, undefined)
  const affected = changes && affectedTests(root, tests, changes.files)
  return affected === undefined ? tests : [...affected.keys()]
}

/** Returns the commit that is checked out, if nothing in the checkout differs from it. */
export function cleanCommit(root: string): string | undefined {
  const git = gitOf(root)
  return git('status', '--porcelain') === '' ? git('rev-parse', 'HEAD') : undefined
}

/** Returns the output of Git, or undefined if Git fails or is missing. */
const gitOf =
  (root: string) =>
  (...args: string[]): string | undefined => {
    try {
      const options = { cwd: root, encoding: 'utf8', maxBuffer: 64 * 1024 * 1024 } as const
      return execFileSync('git', args, { ...options, stdio: ['ignore', 'pipe', 'ignore'] }).trim()
    } catch {
      return undefined
    }
  }

/**
 * Returns the test files that import a changed file, and through how many imports: 0 for a test that has changed
 * itself. Undefined if a changed file affects every test.
 */
export function affectedTests(
  root: string,
  tests: readonly string[],
  changed: readonly string[],
): Map<string, number> | undefined {
  if (changed.some((file) => DECIDES_ALL.test(file))) return undefined
  const importers = new Map<string, string[]>()
  for (const file of globSync('{src,web,test,examples,scripts,bench}/**/*.{ts,tsx,mjs}', { cwd: root }))
    for (const { target, kind } of importsOf(file, readFileSync(join(root, file), 'utf8'))) {
      if (kind === 'type') continue
      const path = extname(target) === '' ? `${target}.ts` : target.replace(/\?.*/, '')
      importers.set(path, [...(importers.get(path) ?? []), file])
    }
  const distances = new Map(changed.map((file) => [file, 0]))
  const open = [...changed]
  for (const file of open)
    for (const importer of importers.get(file) ?? []) {
      if (distances.has(importer)) continue
      distances.set(importer, distances.get(file)! + 1)
      open.push(importer)
    }
  return new Map(tests.flatMap((file) => (distances.has(file) ? [[file, distances.get(file)!]] : [])))
}
