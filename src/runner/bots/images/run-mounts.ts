import { posix } from 'node:path'
import { type NumberedInstruction, refusedLine } from './dockerfile.ts'

/** Program for the shell form of RUN, unless SHELL or the base image names another. */
export const DEFAULT_SHELL: readonly string[] = ['/bin/sh', '-c']

/** Describes a cache, which may always be empty: a folder that exists for one RUN, and is not in its layer. */
interface CacheMount {
  target: string
  mode: string
  /** Owner in the notation of chown; "-" if none is named. */
  owner: string
}

const MOUNT = '--mount='

/**
 * Script that moves the target's content aside and back again: a cache is empty at first, and the layer is the same as
 * with a real mount. It fails if a move is impossible.
 */
const SCRIPT = [
  't=$1 m=$2 o=$3; shift 3',
  'if [ -e "$t" ] || [ -L "$t" ]; then a=$t.errand-aside.$$; mv "$t" "$a" || exit; else a=; fi',
  'mkdir -p "$t" && chmod "$m" "$t" && if [ "$o" != - ]; then chown "$o" "$t"; fi || exit',
  '"$@"; c=$?',
  'chmod -R u+rwX "$t" 2>/dev/null; rm -rf "$t" || exit',
  'if [ "$a" ]; then mv "$a" "$t" || exit; fi; exit $c',
].join('; ')

/** Converts a RUN for the classic builder: each mounted cache becomes an empty folder. Throws `source_refused`. */
export function withoutMounts(run: NumberedInstruction, shell: readonly string[]): NumberedInstruction {
  const { line, flags, rest } = run
  if (flags.length === 0) return run
  const other = flags.find((flag) => !flag.startsWith(MOUNT))
  if (other !== undefined)
    throw refusedLine(
      line,
      `has the option ${other.split('=')[0]}`,
      'Remove it: RUN supports only the option --mount=type=cache.',
    )
  if (rest === '') throw refusedLine(line, 'has no command', 'Write it after the options of RUN.')
  const mounts = flags.map((flag) => cacheMount(line, flag.slice(MOUNT.length)))
  // A nested one is created later, and removed earlier.
  mounts.sort((a, b) => a.target.length - b.target.length)
  const around = mounts.flatMap(({ target, mode, owner }) => [
    '/bin/sh',
    '-c',
    SCRIPT,
    'sh',
    target,
    mode,
    owner,
  ])
  const command = [...around, ...(execForm(rest) ?? [...shell, rest])]
  return { ...run, flags: [], rest: JSON.stringify(command) }
}

/** Returns the engine's line of such a RUN, with the command as it was written. */
export const withoutScripts = (message: string): string => message.replace(inList, '').replace(inText, '')

const literal = (text: string): string => text.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&')
// With target, mode and owner, which contain neither a blank nor a quote.
const inList = new RegExp(`${literal(`"/bin/sh","-c",${JSON.stringify(SCRIPT)},"sh",`)}(?:"[^"]*",){3}`, 'g')
const inText = new RegExp(`${literal(`/bin/sh -c ${SCRIPT} sh `)}(?:\\S+ ){3}`, 'g')

/** Parses the list after SHELL or RUN; undefined for the shell form. */
export function execForm(rest: string): string[] | undefined {
  if (!rest.startsWith('[')) return undefined
  try {
    const list: unknown = JSON.parse(rest)
    const isList = Array.isArray(list) && list.length > 0 && list.every((part) => typeof part === 'string')
    return isList ? list : undefined
  } catch {
    return undefined
  }
}

const instead: Readonly<Record<string, string>> = {
  bind: 'COPY the files that it needs in an earlier step.',
  tmpfs: 'Remove it. Write below /tmp, and delete the files in the same RUN.',
  secret:
    'A build has no secrets. Fetch what needs one before you pack the folder, or let the bot fetch it when it runs.',
  ssh: 'A build has no keys. Fetch private code before you pack the folder.',
}

/** Keys that have no meaning if a cache is always new. */
const WITHOUT_MEANING = ['id', 'sharing', 'readonly', 'ro', 'rw', 'readwrite']

function cacheMount(line: number, text: string): CacheMount {
  const refuse = (why: string, hint = 'Write it as --mount=type=cache,target=/var/cache/pip.') =>
    refusedLine(line, why, hint)
  const options = new Map(
    text.split(',').map((option) => {
      const [key, ...value] = option.split('=')
      return [key!.toLowerCase(), value.join('=')] as const
    }),
  )
  const type = options.get('type') ?? 'bind'
  if (type !== 'cache')
    throw refuse(`mounts something other than a cache (type=${type})`, instead[type] ?? 'Remove the mount.')
  if (options.has('from') || options.has('source'))
    throw refuse(
      'has a cache with files of an image or of the build (from=)',
      'COPY them in an earlier step.',
    )
  const values = options.get('target') ?? options.get('dst') ?? options.get('destination') ?? ''
  const target = posix.normalize(values).replace(/\/+$/, '')
  if (values === '' || target === '' || target === '.' || /^\.\.(?:\/|$)/.test(target))
    throw refuse('has a cache without a target, or with a target that contains everything')
  const {
    mode = '0755',
    uid = '',
    gid = '',
    ...rest
  } = Object.fromEntries(
    [...options].filter(
      ([key]) => !['type', 'target', 'dst', 'destination', ...WITHOUT_MEANING].includes(key),
    ),
  )
  const [unknown] = Object.keys(rest)
  if (unknown !== undefined) throw refuse(`has a cache with the unknown option ${JSON.stringify(unknown)}`)
  if (!/^[0-7]{3,4}$/.test(mode) || !/^\d*$/.test(uid) || !/^\d*$/.test(gid))
    throw refuse(
      'has a cache with a mode, uid or gid that is not a number',
      'Write it as mode=0755,uid=1000.',
    )
  const owner = (gid === '' ? uid : `${uid}:${gid}`) || '-'
  return { target: target.startsWith('/') ? target : `./${target}`, mode, owner }
}
