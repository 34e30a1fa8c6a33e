import type { Protection } from '../../contract/tasks/task.ts'
import { globPattern } from '../../platform/untrusted-input.ts'

export interface ProtectRule {
  paths: readonly string[]
  decision: Protection
}

/**
 * Default rules, after those of a task: files that run by themselves on other machines, and files that control this
 * program.
 */
export const DEFAULT_PROTECTION: readonly ProtectRule[] = [
  {
    paths: [
      '.github/workflows/**',
      '.github/actions/**',
      '.gitlab-ci.yml',
      '.gitea/**',
      '.forgejo/**',
      '.husky/**',
      '.errand/**',
      'errand.yaml',
    ],
    decision: 'ask',
  },
]

/** Kinds of files whose change is displayed separately. */
export type PathKind = 'test' | 'ci' | 'hook' | 'owners'

const kinds: readonly [PathKind, readonly string[]][] = [
  [
    'ci',
    [
      '.github/workflows/**',
      '.github/actions/**',
      '.gitlab-ci.yml',
      '.gitlab/ci/**',
      '.gitea/**',
      '.forgejo/**',
      '.circleci/**',
      '.woodpecker/**',
      '.woodpecker.yml',
      'azure-pipelines.yml',
      'Jenkinsfile',
      '.travis.yml',
      '.buildkite/**',
    ],
  ],
  ['hook', ['.husky/**', '.githooks/**', '.pre-commit-config.yaml', 'lefthook.yml', '.lefthook.yml']],
  ['owners', ['**/CODEOWNERS']],
  [
    'test',
    [
      '**/{test,tests,__tests__,spec,specs,e2e,testdata}/**',
      '**/*.{test,spec}.*',
      '**/*_{test,spec}.*',
      '**/test_*.py',
      '**/conftest.py',
      '**/*{Test,Tests,Spec}.{java,kt,cs,scala,php,swift}',
    ],
  ],
]

const matcher = (globs: readonly string[]) => {
  // A machine whose names fold cases does not distinguish them.
  const patterns = globs.map((glob) => globPattern(glob.toLowerCase()))
  return (path: string) => patterns.some((pattern) => pattern.test(path.toLowerCase()))
}
const exactly = (globs: readonly string[]) => {
  const patterns = globs.map(globPattern)
  return (path: string) => patterns.some((pattern) => pattern.test(path))
}

const kindTests = kinds.map(([kind, globs]) => ({ kind, fits: exactly(globs) }))

export const pathKind = (path: string): PathKind | undefined => kindTests.find(({ fits }) => fits(path))?.kind

/** Decides on a path; undefined if it may be changed, and need not be displayed separately. */
export type Protector = (path: string) => Protection | undefined

/**
 * Builds the decision: the first matching rule counts, those of the task before the default ones; tests are displayed
 * separately.
 */
export function protector(rules: readonly ProtectRule[]): Protector {
  const all = [...rules, ...DEFAULT_PROTECTION].map(({ paths, decision }) => ({
    decision,
    fits: matcher(paths),
  }))
  return (path) =>
    all.find(({ fits }) => fits(path))?.decision ?? (pathKind(path) === 'test' ? 'flag' : undefined)
}

export interface Judged {
  forbidden: string[]
  /** Paths that a person has to approve first. */
  asked: string[]
  flagged: string[]
}

/** Applies the rules to these paths; each is listed once. */
export function judge(paths: Iterable<string>, protect: Protector): Judged {
  const judged: Judged = { forbidden: [], asked: [], flagged: [] }
  for (const path of new Set(paths)) {
    const decision = protect(path)
    if (decision === 'forbid') judged.forbidden.push(path)
    else if (decision === 'ask') judged.asked.push(path)
    else if (decision !== undefined) judged.flagged.push(path)
  }
  return judged
}
