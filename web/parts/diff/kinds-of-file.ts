import type { DiffFile } from './parse-diff.ts'

/** A group of files in a list of changes; all but `code` are listed apart. */
export type FileKind = 'code' | 'test' | 'ci' | 'hook' | 'owners' | 'made'

export const kindNames: Record<FileKind, string> = {
  code: 'Changes',
  test: 'Tests',
  ci: 'CI',
  hook: 'Hooks',
  owners: 'Code owners',
  made: 'Generated files',
}

const kinds: [FileKind, RegExp][] = [
  [
    'ci',
    /^(\.github\/(workflows|actions)|\.gitlab\/ci|\.gitea|\.forgejo|\.circleci|\.woodpecker|\.buildkite)\/|^(\.gitlab-ci|\.woodpecker|\.travis|azure-pipelines)\.yml$|^Jenkinsfile$/,
  ],
  ['hook', /^\.(husky|githooks)\/|^(\.pre-commit-config\.yaml|\.?lefthook\.yml)$/],
  ['owners', /(^|\/)CODEOWNERS$/],
  [
    'made',
    /(^|\/)(package-lock\.json|npm-shrinkwrap\.json|yarn\.lock|pnpm-lock\.yaml|bun\.lockb?|Cargo\.lock|poetry\.lock|uv\.lock|Gemfile\.lock|composer\.lock|go\.sum|flake\.lock)$|\.(min\.(js|css)|map|snap|pb\.go)$|(^|\/)(dist|node_modules|vendor|__snapshots__)\//,
  ],
  [
    'test',
    /(^|\/)(tests?|__tests__|specs?|e2e|testdata)\/|[._](test|spec)\.[^/]*$|(^|\/)(test_[^/]*|conftest)\.py$|(Test|Tests|Spec)\.(java|kt|cs|scala|php|swift)$/,
  ],
]

/** Derives the kind of a file from its path, if the hub's own list of the change does not give it. */
export const kindOfPath = (path: string): FileKind => kinds.find(([, fits]) => fits.test(path))?.[0] ?? 'code'

/** Maximum number of lines of a file to show at once; a longer file is folded until the person opens it. */
export const LONG_FILE = 3000

/** Returns why a file is folded at first, or undefined if it is shown. */
export function foldedWhy({ path, added, removed, hunks }: DiffFile): string | undefined {
  const kind = kindOfPath(path)
  const lines = hunks.reduce((sum, hunk) => sum + hunk.lines.length, 0)
  if (kind === 'made') return `Generated file: ${lines.toLocaleString('en')} lines.`
  if (lines > LONG_FILE) return `Large file: ${(added + removed).toLocaleString('en')} changed lines.`
  return undefined
}

/** Returns a fingerprint of a file's change: a different change of the file counts as unseen. */
export function fingerprint(file: DiffFile): string {
  let sum = 0x811c9dc5
  const add = (text: string) => {
    for (let at = 0; at < text.length; at++) sum = Math.imul(sum ^ text.charCodeAt(at), 0x01000193)
  }
  add(`${file.path}\n${file.oldPath ?? ''}\n${file.mode ?? ''}`)
  for (const { lines } of file.hunks) for (const { kind, text } of lines) add(`${kind[0]}${text}\n`)
  return (sum >>> 0).toString(36)
}
