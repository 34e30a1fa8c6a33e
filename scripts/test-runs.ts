import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

/** Test files that only `npm run test:all` runs, with the reason for each. */
export const onlyInAll: ReadonlyMap<string, string> = new Map([
  ['src/hub/provisioners/drivers/kubernetes/kubernetes.test.ts', 'the complete driver on a real Kubernetes'],
  ['test/agents/model-server.test.ts', 'each agent’s program with a fake model service'],
  ['test/deploy/docker-provisioned.test.ts', 'the compose file of a hub that provisions containers'],
  ['test/deploy/image.test.ts', 'the compose files with hub and runners from the image'],
  ['test/forge/gitea.test.ts', 'a real Gitea, built from its source first'],
  ['test/provisioners/kubernetes-document.test.ts', 'all steps of docs/kubernetes.md on a real Kubernetes'],
  ['test/provisioners/kubernetes-keys.test.ts', 'model keys in pods of a real Kubernetes'],
  ['test/support/kubernetes/kubernetes.test.ts', 'a real Kubernetes whose programs are killed'],
])

/** Matches `sized('what', usual, large)`, with the numbers as they are written. */
const SIZED = /\bsized\(\s*'([^']+)',\s*([\d_.]+),\s*([\d_.]+),?\s*\)/g
const ONLY_LARGE = /\b(?:largeTest|onlyLarge)\(\s*(['`])(.+?)\1/g

/** A difference between the two runs of one file. */
export interface Difference {
  file: string
  what: string
  usual: string
  all: string
}

/** Returns what `npm test` leaves to `npm run test:all`, read from the test files. */
export function differencesIn(file: string, text: string): Difference[] {
  const only = onlyInAll.get(file)
  if (only !== undefined) return [{ file, what: only, usual: 'not run', all: 'run' }]
  const sizes = [...text.matchAll(SIZED)].map(([, what, usual, all]) => ({
    ...{ file, what: what!, usual: usual!.replaceAll('_', ','), all: all!.replaceAll('_', ',') },
  }))
  const tests = [...text.matchAll(ONLY_LARGE)].map(([, , name]) => ({
    ...{ file, what: name!.replaceAll('${', '').replaceAll('}', ''), usual: 'not run', all: 'run' },
  }))
  return [...sizes, ...tests]
}

/** Returns the table for CONTRIBUTING.md. All tests that it does not list do the same in both runs. */
export function runsTable(root: string): string {
  const rows = globSync(['{src,web,scripts,bench,examples}/**/*.test.ts', 'test/**/*.ts'], { cwd: root })
    .filter((file) => file !== 'test/support/size.ts' && !file.startsWith('scripts/'))
    .sort()
    .flatMap((file) => differencesIn(file, readFileSync(join(root, file), 'utf8')))
    .map(({ file, what, usual, all }) => `| ${file} | ${what.replaceAll('|', '\\|')} | ${usual} | ${all} |`)
  return ['| file | what | `npm test`, `.ci/run` | `npm run test:all` |', '|---|---|---|---|', ...rows].join(
    '\n',
  )
}
