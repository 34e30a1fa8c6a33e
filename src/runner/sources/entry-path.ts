import { ErrandError } from '../../contract/errors.ts'

const MAX_PATH_BYTES = 1024
const MAX_NAME_BYTES = 255
const MAX_DEPTH = 64

/** An entry that is not acceptable: which, why and what to do. */
export function refusedEntry(name: string, why: string, hint: string): ErrandError {
  return new ErrandError('source_refused', `Entry ${JSON.stringify(shown(name))} ${why}.`, { hint })
}

const shown = (name: string) => (name.length > 200 ? `${name.slice(0, 200)}…` : name)

/**
 * The clean relative path of an entry, with "/" between its parts and no "." in it; empty for the top folder itself.
 * Throws `source_refused` for a path that leads, or could be read as leading, anywhere else than below the top folder.
 */
export function entryPath(name: string): string {
  const refuse = (why: string, hint: string) => refusedEntry(name, why, hint)
  if (/\p{Cc}/u.test(name)) throw refuse('has a control character in its name', 'Rename the file.')
  if (name.includes('�')) throw refuse('has a name that is not UTF-8', 'Rename the file.')
  if (name.includes('\\'))
    throw refuse('has a backslash in its name', 'Separate folders with "/", and rename files that hold one.')
  if (/^[A-Za-z]:/.test(name)) throw refuse('begins with a drive letter', relative)
  if (name.startsWith('/')) throw refuse('has an absolute path', relative)
  const parts = name.split('/').filter((part) => part !== '' && part !== '.')
  if (parts.includes('..')) throw refuse('leads out of its folder by ".."', relative)
  if (parts.length > MAX_DEPTH) throw refuse(`lies more than ${MAX_DEPTH} folders deep`, 'Use fewer folders.')
  if (parts.some((part) => Buffer.byteLength(part) > MAX_NAME_BYTES))
    throw refuse(`has a name of more than ${MAX_NAME_BYTES} bytes`, 'Shorten it.')
  const path = parts.join('/')
  if (Buffer.byteLength(path) > MAX_PATH_BYTES)
    throw refuse(`has a path of more than ${MAX_PATH_BYTES} bytes`, 'Shorten it.')
  return path
}

const relative = 'Pack the folder with paths that are relative to it: tar -czf code.tar.gz -C folder .'
