"""Access: who asks, what they may do, and requests that no page of ours sent."""
