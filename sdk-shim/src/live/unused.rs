//! What the SDK's traits offer besides callbacks, and nobody calls: a plugin asks its `Host`.
//!
//! A context is called through a table of all its methods, so the SDK's own bodies would be in each module, 11 KB of them, and each panics on a
//! status that it doesn't expect. Here they do nothing, in one body for all.

/// Methods that give the default of whatever they give.
macro_rules! nothing {
    ($($name:ident($($argument:ty),*) $(-> $result:ty)?;)*) => {
        $(fn $name(&self, $(_: $argument),*) $(-> $result)? { Default::default() })*
    };
}

/// For an implementation of `Context`.
macro_rules! unused_of_context {
    () => {
        nothing! {
            get_property(Vec<&str>) -> Option<Bytes>;
            set_property(Vec<&str>, Option<&[u8]>);
            get_shared_data(&str) -> (Option<Bytes>, Option<u32>);
            register_shared_queue(&str) -> u32;
            resolve_shared_queue(&str, &str) -> Option<u32>;
            get_http_call_response_headers() -> Vec<(String, String)>;
            get_http_call_response_headers_bytes() -> Vec<(String, Bytes)>;
            get_http_call_response_header(&str) -> Option<String>;
            get_http_call_response_header_bytes(&str) -> Option<Bytes>;
            get_http_call_response_body(usize, usize) -> Option<Bytes>;
            get_http_call_response_trailers() -> Vec<(String, String)>;
            get_http_call_response_trailers_bytes() -> Vec<(String, Bytes)>;
            get_http_call_response_trailer(&str) -> Option<String>;
            get_http_call_response_trailer_bytes(&str) -> Option<Bytes>;
            get_grpc_call_response_body(usize, usize) -> Option<Bytes>;
            cancel_grpc_call(u32);
            get_grpc_stream_initial_metadata() -> Vec<(String, Bytes)>;
            get_grpc_stream_initial_metadata_value(&str) -> Option<Bytes>;
            send_grpc_stream_message(u32, Option<&[u8]>, bool);
            get_grpc_stream_trailing_metadata() -> Vec<(String, Bytes)>;
            get_grpc_stream_trailing_metadata_value(&str) -> Option<Bytes>;
            cancel_grpc_stream(u32);
            close_grpc_stream(u32);
            get_grpc_status() -> (u32, Option<String>);
            done();
        }

        fn get_grpc_stream_message(&mut self, _: usize, _: usize) -> Option<Bytes> {
            None
        }

        fn get_current_time(&self) -> SystemTime {
            SystemTime::UNIX_EPOCH
        }

        refused! {
            set_shared_data(&str, Option<&[u8]>, Option<u32>) -> ();
            remove_shared_data(&str, Option<u32>) -> ();
            dequeue_shared_queue(u32) -> Option<Bytes>;
            enqueue_shared_queue(u32, Option<&[u8]>) -> ();
            dispatch_http_call(&str, Vec<(&str, &str)>, Option<&[u8]>, Vec<(&str, &str)>, Duration) -> u32;
            dispatch_grpc_call(&str, &str, &str, Vec<(&str, &[u8])>, Option<&[u8]>, Duration) -> u32;
            open_grpc_stream(&str, &str, &str, Vec<(&str, &[u8])>) -> u32;
            call_foreign_function(&str, Option<&[u8]>) -> Option<Bytes>;
        }
    };
}

/// Methods that fail.
macro_rules! refused {
    ($($name:ident($($argument:ty),*) -> $result:ty;)*) => {
        $(fn $name(&self, $(_: $argument),*) -> Result<$result, Status> { Err(Status::BadArgument) })*
    };
}

/// For an implementation of `RootContext`.
macro_rules! unused_of_root {
    () => {
        nothing! {
            get_vm_configuration() -> Option<Bytes>;
            get_plugin_configuration() -> Option<Bytes>;
            set_tick_period(Duration);
        }
    };
}

/// For an implementation of `HttpContext`.
macro_rules! unused_of_http {
    () => {
        nothing! {
            get_http_request_headers() -> Vec<(String, String)>;
            get_http_request_headers_bytes() -> Vec<(String, Bytes)>;
            set_http_request_headers(Vec<(&str, &str)>);
            set_http_request_headers_bytes(Vec<(&str, &[u8])>);
            get_http_request_header(&str) -> Option<String>;
            get_http_request_header_bytes(&str) -> Option<Bytes>;
            set_http_request_header(&str, Option<&str>);
            set_http_request_header_bytes(&str, Option<&[u8]>);
            add_http_request_header(&str, &str);
            add_http_request_header_bytes(&str, &[u8]);
            remove_http_request_header(&str);
            get_http_request_body(usize, usize) -> Option<Bytes>;
            set_http_request_body(usize, usize, &[u8]);
            get_http_request_trailers() -> Vec<(String, String)>;
            get_http_request_trailers_bytes() -> Vec<(String, Bytes)>;
            set_http_request_trailers(Vec<(&str, &str)>);
            set_http_request_trailers_bytes(Vec<(&str, &[u8])>);
            get_http_request_trailer(&str) -> Option<String>;
            get_http_request_trailer_bytes(&str) -> Option<Bytes>;
            set_http_request_trailer(&str, Option<&str>);
            set_http_request_trailer_bytes(&str, Option<&[u8]>);
            add_http_request_trailer(&str, &str);
            add_http_request_trailer_bytes(&str, &[u8]);
            remove_http_request_trailer(&str);
            resume_http_request();
            reset_http_request();
            get_http_response_headers() -> Vec<(String, String)>;
            get_http_response_headers_bytes() -> Vec<(String, Bytes)>;
            set_http_response_headers(Vec<(&str, &str)>);
            set_http_response_headers_bytes(Vec<(&str, &[u8])>);
            get_http_response_header(&str) -> Option<String>;
            get_http_response_header_bytes(&str) -> Option<Bytes>;
            set_http_response_header(&str, Option<&str>);
            set_http_response_header_bytes(&str, Option<&[u8]>);
            add_http_response_header(&str, &str);
            add_http_response_header_bytes(&str, &[u8]);
            remove_http_response_header(&str);
            get_http_response_body(usize, usize) -> Option<Bytes>;
            set_http_response_body(usize, usize, &[u8]);
            get_http_response_trailers() -> Vec<(String, String)>;
            get_http_response_trailers_bytes() -> Vec<(String, Bytes)>;
            set_http_response_trailers(Vec<(&str, &str)>);
            set_http_response_trailers_bytes(Vec<(&str, &[u8])>);
            get_http_response_trailer(&str) -> Option<String>;
            get_http_response_trailer_bytes(&str) -> Option<Bytes>;
            set_http_response_trailer(&str, Option<&str>);
            set_http_response_trailer_bytes(&str, Option<&[u8]>);
            add_http_response_trailer(&str, &str);
            add_http_response_trailer_bytes(&str, &[u8]);
            remove_http_response_trailer(&str);
            resume_http_response();
            reset_http_response();
            send_http_response(u32, Vec<(&str, &str)>, Option<&[u8]>);
            send_grpc_response(GrpcStatusCode, Option<&str>, Vec<(&str, &[u8])>);
        }
    };
}
