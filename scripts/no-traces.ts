// Part of npm run lint: fails if a lock file has a registry's address, or a file names a folder of one machine.
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'

const lockFile = /(^|\/)(package-lock|npm-shrinkwrap)\.json$/
/** Matches a path below somebody's home or work folder. Documents may contain `/home/user` and similar examples. */
const somebodysFolder =
  /(?<![\w.~/-])\/(?:home\/(?!user\b|you\b|me\b)[a-z][\w-]*|Users\/[A-Za-z][\w-]*|root|work)\/[\w.-]+/

/** Returns the problems in one file's text, by line. */
export function tracesOf(file: string, text: string): { line: number; message: string }[] {
  const found: { line: number; message: string }[] = []
  text.split('\n').forEach((content, index) => {
    if (lockFile.test(file) && /"resolved":/.test(content)) {
      found.push({
        line: index + 1,
        message: 'a registry address; run: npm install --omit-lockfile-registry-resolved',
      })
    }
    const folder = somebodysFolder.exec(content)
    if (folder !== null) found.push({ line: index + 1, message: `a folder of one machine: ${folder[0]}` })
  })
  return found
}

function main(): void {
  const root = join(import.meta.dirname, '..')
  const listed = execFileSync('git', ['ls-files', '-z', '--cached', '--others', '--exclude-standard'], {
    cwd: root,
  })
  let count = 0
  for (const file of listed.toString().split('\0').filter(Boolean)) {
    let bytes: Buffer
    try {
      bytes = readFileSync(join(root, file))
    } catch {
      continue // deleted, not yet committed
    }
    if (bytes.includes(0)) continue
    for (const { line, message } of tracesOf(file, bytes.toString())) {
      console.error(`${file}:${line}: ${message}`)
      count++
    }
  }
  if (count > 0) process.exitCode = 1
}

if (import.meta.main) main()
