import { chmod, writeFile } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import { FileWriteArgs } from '../contract/actions.ts'
import { ErrandError } from '../contract/errors.ts'
import { LeadsOut, writeBeneath } from '../platform/beneath.ts'
import { makeFolder } from '../platform/files.ts'
import type { Action } from '../runner/ports.ts'
import { parseArguments } from './arguments.ts'

/** Writes `args.content` to `args.path`, making its folders. */
export const fileWrite: Action = {
  kind: 'inline',
  async run(spec, { cwd, apart, signal, shown }) {
    const { path, content, mode } = parseArguments(FileWriteArgs, spec)
    const target = resolve(cwd, path)
    try {
      if (apart) {
        await makeFolder(cwd, 0o700)
        await writeBeneath(cwd, target, content, { mode: Number.parseInt(mode, 8), signal })
        return {}
      }
      await makeFolder(dirname(target))
      await writeFile(target, content, { mode: Number.parseInt(mode, 8), signal })
      // A mode given on creation is cut by the umask, and ignored for a file that exists.
      await chmod(target, Number.parseInt(mode, 8))
    } catch (cause) {
      signal.throwIfAborted()
      if (cause instanceof LeadsOut)
        throw new ErrandError(
          'invalid_argument',
          `${resolve(cwd, shown(path))} may not be written to by a step in a sandbox: ${shown(cause.message)}.`,
          { hint: 'It writes into the workspace of its run, and through no link.', cause },
        )
      const { code, message } = cause as NodeJS.ErrnoException
      throw new ErrandError(
        code === 'ENOSPC' ? 'disk_full' : 'internal',
        // Without the path that the system names: it may be a part of this one, and so of a secret in it.
        `${resolve(cwd, shown(path))} could not be written: ${message.split(', ', 1)[0]}.`,
        { cause },
      )
    }
    return {}
  },
}
