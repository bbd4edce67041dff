// The directory of queues, agents and channels: of many agents only those that changed are sent.

/** The directory after a `directory_agents` frame; the one given stays as it is. */
export function withAgents(directory, frame) {
  const changed = new Map((frame.agents || []).map((each) => [each.id, each]));
  const gone = new Set(frame.gone || []);
  const agents = (directory.agents || []).filter((each) => !gone.has(each.id)).map((each) => {
    const newer = changed.get(each.id);
    changed.delete(each.id);
    return newer || each;
  });
  return { ...directory, agents: [...agents, ...changed.values()] };
}
