import { ErrandError } from '../../../contract/errors.ts'
import { backUp } from '../../../hub/ops/backup.ts'
import { restore as restoreFrom } from '../../../hub/ops/restore.ts'
import { command, UsageError } from '../../command.ts'
import { dataFolder } from '../../local/errand-home.ts'
import { takeFolderLock } from '../../local/folder-lock.ts'
import { jsonOption, printJson } from '../../print.ts'
import { bytesText, countText } from '../../render/table.ts'
import { productVersion } from '../../version.ts'

export const backup = command({
  summary: 'Back up the data folder of a hub on this machine, even while the hub runs.',
  options: {
    to: { type: 'string', value: 'PATH', help: 'Archive (.tar, .tar.gz, .tgz) or folder to write' },
    data: { type: 'string', value: 'DIR', help: 'Data folder (default: ERRAND_DATA, ~/.errand/data)' },
    'with-key': {
      type: 'boolean',
      help: 'Include the key of the secrets: whoever has the backup can read them',
    },
    ...jsonOption,
  },
  examples: [
    'errand backup --to errand-2026-01-31.tar.gz',
    'errand backup --to /mnt/backups/monday --with-key',
  ],
  async run({ to, data, 'with-key': withKey = false, json }) {
    if (to === undefined) throw new UsageError('a backup needs a target', 'name it with --to')
    const made = await backUp({ data: dataFolder(data), to, withKey, version: productVersion })
    for (const name of made.damaged)
      process.stderr.write(`warning: ${name} differs from what was stored; it is backed up as it is\n`)
    if (json) printJson({ to, ...made })
    else
      process.stdout.write(
        `${to} holds ${countText(made.runs, 'run')} in ${countText(made.files, 'file')}, ${bytesText(made.bytes)}.\n` +
          (withKey
            ? ''
            : 'It does not include the key of the secrets: keep that separately, or add it with --with-key.\n'),
      )
    return 0
  },
})

export const restore = command({
  summary: 'Restore a backup into an empty data folder, and check every file.',
  args: '<backup>',
  options: {
    data: { type: 'string', value: 'DIR', help: 'Data folder (default: ERRAND_DATA, ~/.errand/data)' },
    ...jsonOption,
  },
  examples: [
    'errand restore errand-2026-01-31.tar.gz',
    'errand restore /mnt/backups/monday --data /srv/errand',
  ],
  async run({ data: dataOption, json }, [from]) {
    const data = dataFolder(dataOption)
    const lock = takeFolderLock({ path: data, what: 'data folder', option: '--data' }, 'lock')
    if ('holder' in lock)
      throw new ErrandError(
        'data_folder_locked',
        `The data folder ${data} is in use by the hub with process id ${lock.holder.pid}.`,
        { hint: 'Restore into an empty folder: name one with --data.' },
      )
    try {
      const head = await restoreFrom({ from: from!, data, lockFile: 'lock' })
      if (json) printJson({ data, ...head })
      else
        process.stdout.write(
          `${data} holds ${countText(head.runs, 'run')}, as of ${head.created_at}. Start the hub with: errand up --data ${data}\n` +
            (head.with_key
              ? ''
              : 'The key was not in the backup: put secrets.key back, otherwise secrets cannot be read and log-ins have ended.\n'),
        )
    } finally {
      lock.release()
    }
    return 0
  },
})
