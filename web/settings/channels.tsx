import { useQuery, useQueryClient } from '@tanstack/react-query'
import { Bell, Mail, Webhook } from 'lucide-react'
import { useState } from 'react'
import type {
  ChannelKind,
  ChannelTopic,
  ChannelView,
  CreateChannelInput,
} from '../../src/contract/channels.ts'
import { addChannel, listChannels, removeChannel, testChannel } from '../data/account.ts'
import { ApiError } from '../data/api.ts'
import { ActionButton, Failure } from '../parts/action-button.tsx'
import { Confirm } from '../parts/confirm.tsx'
import { CopyButton } from '../parts/copy-button.tsx'
import { When } from '../parts/times.tsx'
import { Labelled, Part, ShownOnce } from './settings-frame.tsx'

const kinds: Record<ChannelKind, { word: string; Icon: typeof Mail; address: string; example: string }> = {
  ntfy: { word: 'ntfy', Icon: Bell, address: 'Topic URL', example: 'https://ntfy.sh/my-topic' },
  webhook: {
    word: 'Webhook',
    Icon: Webhook,
    address: 'URL',
    example: 'https://hooks.example.org/errand',
  },
  email: { word: 'E-mail', Icon: Mail, address: 'E-mail address', example: 'ann@example.org' },
}

const topicTexts: Record<ChannelTopic, string> = {
  needs_me: 'questions for you',
  failures: 'your failed runs',
}

/** Lists the channels that are notified of questions to the person and of their failed runs. */
export function Channels() {
  const client = useQueryClient()
  const { data, error } = useQuery({
    queryKey: ['channels'],
    queryFn: ({ signal }) => listChannels(signal),
    staleTime: 0,
  })
  const [secret, setSecret] = useState<string>()
  const again = () => client.invalidateQueries({ queryKey: ['channels'] })
  return (
    <Part
      title="Notification channels"
      about="Errand sends notifications about questions that you can answer and about your failed runs to these channels. Each links to the page where you answer."
    >
      {secret !== undefined && (
        <ShownOnce
          what="Each request is signed with this secret. It is shown only once."
          text={secret}
          copy={<CopyButton text={secret} label="Copy the secret" word="Copy" />}
          close={() => setSecret(undefined)}
        />
      )}
      {error instanceof ApiError && <Failure error={error} />}
      {data?.channels.length === 0 && (
        <p className="mb-4 text-ink2">You have no notification channels yet.</p>
      )}
      {data !== undefined && data.channels.length > 0 && (
        <ul className="mb-4 overflow-clip rounded-[10px] border border-line">
          {data.channels.map((channel) => (
            <Row key={channel.id} channel={channel} again={again} />
          ))}
        </ul>
      )}
      <Add
        canMail={data?.can_mail ?? false}
        done={async (made) => {
          setSecret(made)
          await again()
        }}
      />
    </Part>
  )
}

function Row({ channel, again }: { channel: ChannelView; again: () => Promise<void> }) {
  const [sent, setSent] = useState(false)
  const [failure, setFailure] = useState<ApiError>()
  const [removing, setRemoving] = useState(false)
  const { Icon } = kinds[channel.kind]
  return (
    <li className="border-t border-line px-3 py-2 first:border-t-0">
      <div className="flex min-h-8 flex-wrap items-center gap-x-3 gap-y-2">
        <Icon size={15} strokeWidth={1.75} aria-hidden className="shrink-0 text-ink2" />
        <span className="min-w-0 flex-1 basis-48">
          <span className="block truncate font-medium">
            <bdi>{channel.name}</bdi>
          </span>
          <span className="block truncate text-label text-ink2">
            <bdi className="font-mono">{channel.to}</bdi> ·{' '}
            {channel.tells.map((one) => topicTexts[one]).join(', ')}
          </span>
        </span>
        <span className="text-meta text-ink2">
          {channel.last_sent_at === undefined ? (
            'nothing sent yet'
          ) : (
            <>
              last sent <When time={channel.last_sent_at} />
            </>
          )}
          {channel.waiting > 0 && <span className="text-ask"> · {channel.waiting} pending</span>}
        </span>
        <span className="flex items-center gap-1">
          {sent && (
            <span role="status" className="text-meta font-medium text-ok">
              Test sent
            </span>
          )}
          <ActionButton
            doing="Sending…"
            onFailure={(error) => {
              setSent(false)
              setFailure(error)
            }}
            act={async () => {
              setFailure(undefined)
              await testChannel(channel.id)
              setSent(true)
            }}
          >
            Send test
          </ActionButton>
          <button type="button" className="button button-plain" onClick={() => setRemoving(true)}>
            Remove
          </button>
        </span>
      </div>
      {failure !== undefined && (
        <div className="mt-2">
          <Failure error={failure} />
        </div>
      )}
      {failure === undefined && channel.failure !== undefined && (
        <p className="mt-1 text-meta break-words text-bad">
          {channel.failure.dropped ? 'Gave up' : 'Not sent'} <When time={channel.failure.at} />:{' '}
          <bdi>{channel.failure.message}</bdi>
        </p>
      )}
      {removing && (
        <Confirm
          title={`Remove ${channel.name}?`}
          keep="Keep it"
          verb="Remove channel"
          doing="Removing…"
          act={async () => {
            await removeChannel(channel.id)
            void again()
          }}
          close={() => setRemoving(false)}
        >
          This channel gets no more notifications
          {channel.waiting > 0 && `. Pending ones (${channel.waiting}) are dropped`}.
        </Confirm>
      )}
    </li>
  )
}

function Add({ canMail, done }: { canMail: boolean; done: (secret: string | undefined) => Promise<void> }) {
  const [kind, setKind] = useState<ChannelKind>('ntfy')
  const [address, setAddress] = useState('')
  const [token, setToken] = useState('')
  const [reports, setReports] = useState<readonly ChannelTopic[]>(['needs_me', 'failures'])
  const [failure, setFailure] = useState<ApiError>()
  const { address: word, example } = kinds[kind]
  const channel = (): CreateChannelInput => {
    const more = { tells: [...reports] }
    if (kind === 'email') return { kind, address: address.trim(), ...more }
    if (kind === 'webhook') return { kind, url: address.trim(), ...more }
    return { kind, url: address.trim(), ...(token === '' ? {} : { token }), ...more }
  }
  return (
    <form className="flex flex-col gap-3" onSubmit={(event) => event.preventDefault()}>
      <div className="flex flex-wrap items-end gap-3">
        <Labelled word="Kind">
          <select
            className="field"
            value={kind}
            onChange={({ target }) => setKind(target.value as ChannelKind)}
          >
            {(Object.keys(kinds) as ChannelKind[]).map((one) => (
              <option key={one} value={one} disabled={one === 'email' && !canMail}>
                {kinds[one].word}
                {one === 'email' && !canMail ? ' (the hub has no mail server configured)' : ''}
              </option>
            ))}
          </select>
        </Labelled>
        <span className="flex min-w-64 flex-1 flex-col max-sm:basis-full">
          <Labelled word={word}>
            <input
              className="field"
              type={kind === 'email' ? 'email' : 'url'}
              autoComplete="off"
              placeholder={example}
              value={address}
              onChange={({ target }) => setAddress(target.value)}
            />
          </Labelled>
        </span>
        {kind === 'ntfy' && (
          <Labelled word="Token (if the topic needs one)">
            <input
              className="field"
              type="password"
              autoComplete="off"
              value={token}
              onChange={({ target }) => setToken(target.value)}
            />
          </Labelled>
        )}
      </div>
      <div className="flex flex-wrap items-center gap-x-5 gap-y-2">
        {(Object.keys(topicTexts) as ChannelTopic[]).map((one) => (
          <label key={one} className="flex items-center gap-2 max-sm:min-h-11">
            <input
              type="checkbox"
              className="size-4 accent-accent"
              checked={reports.includes(one)}
              onChange={({ target }) =>
                setReports(target.checked ? [...reports, one] : reports.filter((other) => other !== one))
              }
            />
            {topicTexts[one]}
          </label>
        ))}
        <span className="ml-auto max-sm:basis-full">
          <ActionButton
            className="max-sm:w-full"
            doing="Adding…"
            onFailure={setFailure}
            act={async (key) => {
              setFailure(undefined)
              const { secret } = await addChannel(channel(), key)
              setAddress('')
              setToken('')
              await done(secret)
            }}
          >
            Add channel
          </ActionButton>
        </span>
      </div>
      {failure !== undefined && <Failure error={failure} />}
    </form>
  )
}
