import { Component, type ReactNode } from 'react'

interface OrPlainProps {
  /** The text to show if rendering fails. */
  text: string
  children: ReactNode
}

/** Shows a plain text if its rendered form fails, so that one bad text does not break the rest of the page. */
export class OrPlain extends Component<OrPlainProps, { failed: boolean }> {
  override state = { failed: false }
  static getDerivedStateFromError() {
    return { failed: true }
  }
  override render() {
    if (!this.state.failed) return this.props.children
    return <PlainText text={this.props.text} />
  }
}

/** Shows a text with its line breaks unchanged. */
export const PlainText = ({ text }: { text: string }) => (
  <pre className="font-mono text-meta break-words whitespace-pre-wrap">{text}</pre>
)
