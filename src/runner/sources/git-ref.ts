import { ErrandError } from '../../contract/errors.ts'

const MAX_LENGTH = 255

/** A full commit id, of SHA-1 or SHA-256. */
export const isCommitId = (ref: string): boolean => /^(?:[0-9a-f]{40}|[0-9a-f]{64})$/i.test(ref)

/** Throws `source_refused` for what is no name of a branch or tag (git check-ref-format) and no full commit id. */
export function checkGitRef(ref: string): void {
  const why = fault(ref)
  if (why === undefined) return
  const shown = JSON.stringify(ref.slice(0, 100))
  throw new ErrandError('source_refused', `${shown} ${why}, and so is no branch, tag or commit.`, {
    hint: 'Name a branch, a tag or a full commit id, such as main or v1.2.',
  })
}

function fault(ref: string): string | undefined {
  if (ref === '' || ref === '@') return 'is not a name'
  if (ref.length > MAX_LENGTH) return `is longer than ${MAX_LENGTH} characters`
  if (ref.startsWith('-')) return 'begins with "-"'
  if (/[\p{Cc}\p{Cs}\s~^:?*[\\]/u.test(ref)) return 'has a space or one of ~ ^ : ? * [ \\ in it'
  if (ref.includes('..') || ref.includes('@{')) return 'has ".." or "@{" in it'
  if (ref.endsWith('.')) return 'ends with "."'
  const parts = ref.split('/')
  if (parts.some((part) => part === '' || part.startsWith('.') || part.endsWith('.lock')))
    return 'has a part that is empty, begins with "." or ends with ".lock"'
  return undefined
}
