import { ErrandError } from '../contract/errors.ts'
import { restore as restoreFrom } from '../hub/backup/restore.ts'
import { command } from './command.ts'
import { dataFolder } from './errand-home.ts'
import { takeFolderLock } from './folder-lock.ts'
import { jsonOption, printJson } from './print.ts'
import { countText } from './render/units.ts'

export const restore = command({
  summary: 'Put a backup into an empty data folder, checked file by file.',
  args: '<backup>',
  options: {
    data: { type: 'string', value: 'DIR', help: 'Data folder (default: ERRAND_DATA, ~/.errand/data)' },
    ...jsonOption,
  },
  examples: [
    'errand restore errand-2026-01-31.tar.gz',
    'errand restore /mnt/backups/monday --data /srv/errand',
  ],
  async run({ data: given, json }, [from]) {
    const data = dataFolder(given)
    const lock = takeFolderLock({ path: data, what: 'data folder', option: '--data' }, 'lock')
    if ('holder' in lock)
      throw new ErrandError(
        'data_folder_locked',
        `The data folder ${data} is in use by the hub with process id ${lock.holder.pid}.`,
        { hint: 'A backup goes into an empty folder: name one with --data.' },
      )
    try {
      const head = await restoreFrom({ from: from!, data, lockFile: 'lock' })
      if (json) printJson({ data, ...head })
      else
        process.stdout.write(
          `${data} holds ${countText(head.runs, 'run')}, as of ${head.created_at}. Start the hub with: errand up --data ${data}\n` +
            (head.with_key
              ? ''
              : 'The key of the secrets was not in the backup: put secrets.key back for them.\n'),
        )
    } finally {
      lock.release()
    }
    return 0
  },
})
