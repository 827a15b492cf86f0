//! Which route a request takes.

use http::Method;

use super::Route;

/// An application's routes, by path pattern and method.
#[derive(Debug, Default)]
pub struct RouteTable {
    routes: Vec<Route>,
    by_path: matchit::Router<Vec<usize>>,
}

/// What a look-up found.
#[derive(Clone, Copy, Debug)]
pub enum Routed<'a> {
    /// A route, with its position in the table.
    Found(usize, &'a Route),
    /// The path is known, the method is not.
    OtherMethod,
    /// Nothing.
    Nowhere,
}

impl RouteTable {
    /// A table of `routes`, each with its path patterns (`/orders/{id}`, `/static/{*rest}`).
    ///
    /// # Errors
    /// Position of the route and what is wrong with a pattern.
    pub fn new(routes: Vec<(Route, Vec<String>)>) -> Result<Self, (usize, String)> {
        let mut table = Self::default();
        let mut patterns: Vec<(String, Vec<usize>)> = Vec::new();
        for (index, (route, paths)) in routes.into_iter().enumerate() {
            for path in paths {
                // A trailing slash must not lead around a route's checks: both spellings are the same route.
                let bare = if path.len() > 1 { path.trim_end_matches('/').to_owned() } else { path };
                match patterns.iter_mut().find(|(p, _)| *p == bare) {
                    Some((_, indexes)) => indexes.push(index),
                    None => patterns.push((bare, vec![index])),
                }
            }
            table.routes.push(route);
        }
        for (pattern, indexes) in patterns {
            let first = indexes.first().copied().unwrap_or_default();
            table.by_path.insert(pattern.clone(), indexes).map_err(|e| (first, format!("{pattern}: {e}")))?;
        }
        Ok(table)
    }

    /// The route of a canonical path and a method.
    pub fn find(&self, path: &str, method: &Method) -> Routed<'_> {
        let bare = if path.len() > 1 { path.trim_end_matches('/') } else { path };
        let Ok(found) = self.by_path.at(bare) else { return Routed::Nowhere };
        let mut routes = found.value.iter().filter_map(|&i| self.routes.get(i).map(|r| (i, r)));
        let fits = |route: &Route| {
            route.methods.is_empty()
                || route.methods.contains(method)
                || (*method == Method::HEAD && route.methods.contains(&Method::GET))
        };
        match routes.find(|(_, route)| fits(route)) {
            Some((index, route)) => Routed::Found(index, route),
            None => Routed::OtherMethod,
        }
    }

    /// The route at a position.
    pub fn get(&self, position: usize) -> Option<&Route> {
        self.routes.get(position)
    }

    /// Every route.
    pub fn iter(&self) -> impl Iterator<Item = &Route> {
        self.routes.iter()
    }
}
