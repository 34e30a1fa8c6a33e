import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { baseImage } from './docker.ts'

const execute = promisify(execFile)
const root = join(import.meta.dirname, '../../..')
const NAME = 'errand.test/errand'
const LABEL = 'errand.test-image=errand'
/** Younger images may be in use by other checkouts, or by other test files of this one. */
const RETENTION_HOURS = 6

/**
 * Returns the name of an image of deploy/Dockerfile with this checkout in it. It is built once for all test files,
 * which takes about a minute, and kept like the base images. Images of earlier states of the source are removed when a
 * new one is built.
 */
export async function errandImage(): Promise<string> {
  const base = await baseImage('node:24-slim')
  const image = `${NAME}:${await stateOfSource(base)}`
  // One process builds, and the others wait.
  const script = `docker image inspect "$0" >/dev/null 2>&1 && exit
    DOCKER_BUILDKIT=0 docker build -q --force-rm -f deploy/Dockerfile --build-arg BASE_IMAGE="$1" --label "$2" -t "$0" . >/dev/null || exit
    docker image prune -af --filter "label=$2" --filter until=${RETENTION_HOURS}h >/dev/null || true`
  // Not in TMPDIR, which belongs to one test file.
  const lock = '/tmp/errand-test-image.lock'
  const built = execute('flock', [lock, 'sh', '-c', script, image, base, LABEL], { cwd: root })
  // A test file that is silent for too long is ended.
  const waiting = setInterval(() => console.log('Still building the image of Errand.'), 30_000)
  await built.finally(() => clearInterval(waiting))
  return image
}

/** Returns an id of the source's state. It is equal in all checkouts of the same source. */
async function stateOfSource(base: string): Promise<string> {
  const { stdout } = await execute('git', ['ls-files', '-z', '-co', '--exclude-standard'], {
    cwd: root,
    maxBuffer: 16 * 1024 ** 2,
  })
  const hash = createHash('sha256').update(base)
  for (const path of stdout.split('\0').filter(isInside).sort()) {
    hash.update(`\0${path}\0`)
    try {
      hash.update(readFileSync(join(root, path)))
    } catch {
      // The file is removed, but its removal is not committed yet.
    }
  }
  return hash.digest('hex').slice(0, 16)
}

/** Reports whether a path is in the image, as in .dockerignore; more is harmless. */
const isInside = (path: string): boolean =>
  /^(bin|src|web|scripts|examples|deploy)\/|^(package(-lock)?|tsconfig)\.json$|^LICENSE$|^\.dockerignore$/.test(
    path,
  ) && !path.endsWith('.test.ts')
