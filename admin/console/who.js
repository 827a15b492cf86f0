// Who is signed in.

let roles = [];

export const known = (list) => { roles = list; };

/** Whether the person may do what takes this role. The gateway decides; this only spares buttons that it would refuse. */
export const may = (role) => roles.includes(role);
